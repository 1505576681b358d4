// What the host executor throws when a kernel breaks a rule of the CUDA model that a GPU would not
// report.
#pragma once

#include <source_location>
#include <string>

#include "core/error.h"

namespace cucina::simt {

// One or two sentences: the launch's name, the rule, block, threads, file and line.
class Report : public Error {
 public:
  explicit Report(const std::string& text) : Error(text, ExitCode::check_failed) {}
};

inline namespace host {
namespace detail {

struct Index3 {
  unsigned x, y, z;
};

std::string text(const Index3& index);                // (1,2,3)
std::string text(const std::source_location& where);  // relu.cu:12
bool same_file(const char* a, const char* b);
inline bool same_line(const std::source_location& a, const std::source_location& b) {
  if (a.line() != b.line() || a.column() != b.column()) return false;
  return a.file_name() == b.file_name() || same_file(a.file_name(), b.file_name());
}

// The last folder and file of a path: reports are read by people who know the tree.
std::string short_path(const std::string& path);

}  // namespace detail
}  // namespace host
}  // namespace cucina::simt
