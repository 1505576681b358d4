// Reads RFC 4180, cell by cell.
#include "recipe/data/csv.h"

#include <algorithm>

#include "core/error.h"

namespace cucina::data {
namespace {

// Enough of a cell to find it by.
std::string in_one_line(std::string cell) {
  constexpr std::size_t kShown = 40;
  if (cell.size() > kShown) cell = cell.substr(0, kShown) + "...";
  std::replace_if(
      cell.begin(), cell.end(), [](unsigned char c) { return c < ' '; }, ' ');
  return cell;
}

struct Reader {
  std::string_view text;
  const std::string& path;
  std::size_t at = 0;
  std::int64_t line = 1;

  bool ended() const { return at == text.size(); }

  // Moves past a line's end, if one is here.
  bool line_ends() {
    if (ended()) return true;
    const std::size_t start = at;
    if (text[at] == '\r' && at + 1 < text.size()) ++at;
    if (text[at] == '\n') {
      ++at, ++line;
      return true;
    }
    at = start;
    return false;
  }

  std::string quoted() {
    const std::int64_t start = line;
    std::string cell;
    for (++at; !ended(); ++at) {
      if (text[at] == '\n') ++line;
      if (text[at] != '"') {
        cell += text[at];
      } else if (at + 1 < text.size() && text[at + 1] == '"') {
        cell += text[at++];
      } else {
        ++at;
        return cell;
      }
    }
    fail(ExitCode::bad_file, "{}: line {}: a quote is opened and never closed; close it", path,
         start);
  }

  std::string cell() {
    if (!ended() && text[at] == '"') return quoted();
    const std::size_t start = at;
    while (!ended() && text[at] != ',' && text[at] != '\n' && text[at] != '\r') ++at;
    return std::string(text.substr(start, at - start));
  }

  CsvRow row() {
    CsvRow row{.line = line, .cells = {}};
    while (true) {
      row.cells.push_back(cell());
      if (line_ends()) return row;
      if (text[at] != ',')
        fail(ExitCode::bad_file,
             "{}: line {}: a comma or the line's end is due behind '{}'; quote the whole cell",
             path, line, in_one_line(row.cells.back()));
      ++at;
    }
  }
};

}  // namespace

std::vector<CsvRow> parse_csv(std::string_view text, const std::string& path) {
  if (const auto nul = text.find('\0'); nul != std::string_view::npos)
    fail(ExitCode::bad_file, "{}: byte {}: a NUL byte, which text has not; save it as UTF-8", path,
         nul);
  if (text.starts_with("\xef\xbb\xbf")) text.remove_prefix(3);
  Reader reader{.text = text, .path = path};
  std::vector<CsvRow> rows;
  while (!reader.ended()) {
    if (reader.line_ends()) continue;
    rows.push_back(reader.row());
  }
  return rows;
}

}  // namespace cucina::data
