// Rows of comma-separated values.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace cucina::data {

struct CsvRow {
  std::int64_t line = 1;  // where it begins
  std::vector<std::string> cells;
};

// Cells are separated by commas, rows by line feeds (or both CR and LF); a cell in quotes may hold
// any of them, and quotes doubled. A byte order mark at the start and empty lines are skipped.
//   throws   Error, exit code 3, with the line: a quote that is never closed, text behind a closed
//            one, a NUL byte
//   source   RFC 4180
std::vector<CsvRow> parse_csv(std::string_view text, const std::string& path);

}  // namespace cucina::data
