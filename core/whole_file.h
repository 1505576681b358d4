// Files that appear whole or not at all.
#pragma once

#include <cstddef>
#include <filesystem>
#include <functional>
#include <string>
#include <string_view>

namespace cucina {

// A file under a temporary name in the folder of its real one, ".NAME.tmp.PID", which it gets when
// all is written and on disk. Until then, and when anything fails, what stands there is untouched,
// and the temporary file goes.
class WholeFile {
 public:
  // Called with the system's reason when the file cannot be written; throws the caller's Error.
  using Refuse = std::function<void(const std::string& cause)>;

  // Opens the temporary file, so that a folder that cannot be written is known at once.
  WholeFile(const std::filesystem::path& path, Refuse refuse);
  ~WholeFile();
  WholeFile(const WholeFile&) = delete;
  WholeFile& operator=(const WholeFile&) = delete;

  void write(const void* data, std::size_t bytes);
  void write(std::string_view text) { write(text.data(), text.size()); }
  // Syncs the file, renames it, and syncs the folder; nothing can be written after that.
  void finish();

 private:
  void refuse(int cause);

  std::string path_, folder_, temporary_;
  Refuse refuse_;
  int descriptor_ = -1;
  bool finished_ = false;
};

}  // namespace cucina
