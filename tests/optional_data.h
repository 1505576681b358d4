// Where the optional data sets are that some tests want.
#pragma once

#include <cstdlib>
#include <filesystem>

namespace cucina {

// $CUCINA_DATA, else ../shared/data beside the sources; it may not exist.
inline std::filesystem::path optional_data() {
  const char* folder = std::getenv("CUCINA_DATA");
  if (folder != nullptr && *folder != '\0') return folder;
  return std::filesystem::path(CUCINA_SOURCE_DIR) / ".." / "shared" / "data";
}

}  // namespace cucina
