// How reports spell indices and places.
#include "kernels/simt/report.h"

#include <cstring>

namespace cucina::simt {
inline namespace host {
namespace detail {

std::string text(const Index3& index) {
  return fmt::format("({},{},{})", index.x, index.y, index.z);
}

std::string text(const std::source_location& where) {
  return fmt::format("{}:{}", short_path(where.file_name()), where.line());
}

bool same_file(const char* a, const char* b) { return std::strcmp(a, b) == 0; }

std::string short_path(const std::string& path) {
  const std::size_t last = path.rfind('/');
  if (last == std::string::npos || last == 0) return path;
  const std::size_t before = path.rfind('/', last - 1);
  return before == std::string::npos ? path : path.substr(before + 1);
}

}  // namespace detail
}  // namespace host
}  // namespace cucina::simt
