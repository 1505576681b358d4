// A terminal to test against: its screen, its clock and its width are ours.
#pragma once

#include <sstream>
#include <string>
#include <vector>

#include "recipe/report/progress.h"

namespace cucina::report {

struct TestTerminal {
  std::ostringstream stream;
  double seconds = 100.0;
  int columns = 200;
  std::string term = "xterm";

  ProgressOutput output(bool is_terminal, bool color = false) {
    return {.stream = &stream,
            .is_terminal = is_terminal,
            .color = color,
            .columns = [this] { return columns; },
            .now = [this] { return seconds; },
            .environment = [this](const char* name) -> const char* {
              return std::string_view(name) == "TERM" ? term.c_str() : nullptr;
            }};
  }

  std::string written() const { return stream.str(); }
};

// The pieces of `text` between separators.
inline std::vector<std::string> split(const std::string& text, const std::string& separator) {
  std::vector<std::string> parts;
  std::size_t at = 0;
  for (std::size_t next = text.find(separator); next != std::string::npos;
       next = text.find(separator, at)) {
    parts.push_back(text.substr(at, next - at));
    at = next + separator.size();
  }
  parts.push_back(text.substr(at));
  return parts;
}

// Characters, not bytes, of UTF-8 text without escape sequences.
inline std::size_t characters(const std::string& text) {
  std::size_t count = 0;
  for (const char c : text)
    if ((static_cast<unsigned char>(c) & 0xc0) != 0x80) ++count;
  return count;
}

}  // namespace cucina::report
