// Reads TOML with toml++, whose release has inputs it cannot take: those are refused before it sees
// them, and its assertions throw (see CMakeLists.txt).
#include "core/toml_file.h"

#include <toml++/toml.h>

#include <algorithm>
#include <fstream>
#include <stdexcept>

#include "core/error.h"

namespace cucina {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::uintmax_t kMostBytes = 64 << 10;
// Every dot of a key is a table within a table, and the parser recurses; within a string nothing
// does.
constexpr std::size_t kLongestLine = 400;
constexpr int kDeepest = 64;

std::string read_text(const std::string& path, const TomlHints& hints) {
  std::ifstream file(path, std::ios::binary);
  std::string text(kMostBytes + 1, '\0');
  file.read(text.data(), static_cast<std::streamsize>(text.size()));
  if (file.bad() || (file.fail() && !file.eof()) || file.gcount() < 0)
    fail(ExitCode::bad_file, "{}: cannot be read; give {}", path, hints.wanted);
  text.resize(static_cast<std::size_t>(file.gcount()));
  return text;
}

// The characters of a line that are in no string; what follows a quote in a comment counts as one.
std::size_t outside_strings(std::string_view line) {
  std::size_t count = 0;
  char quote = 0;
  for (std::size_t i = 0; i < line.size(); ++i) {
    if (quote == 0) {
      ++count;
      if (line[i] == '"' || line[i] == '\'') quote = line[i];
    } else if (line[i] == '\\' && quote == '"') {
      ++i;
    } else if (line[i] == quote) {
      quote = 0;
    }
  }
  return count;
}

void check_line(const std::string& path, std::int64_t number, std::string_view line) {
  for (std::size_t i = 0; i < line.size(); ++i) {
    const auto byte = static_cast<unsigned char>(line[i]);
    if (byte == 0 || byte >= 0x80)
      fail(ExitCode::bad_file,
           "{}:{}: byte 0x{:02x} in column {}; only ASCII is read here, also in comments", path,
           number, byte, i + 1);
  }
  if (line.find("\"\"\"") != line.npos || line.find("'''") != line.npos)
    fail(ExitCode::bad_file, "{}:{}: a string over several lines; write it in one, with \\n", path,
         number);
  if (outside_strings(line) > kLongestLine)
    fail(ExitCode::bad_file, "{}:{}: more than {} characters in a line, besides strings; break it",
         path, number, kLongestLine);
}

void check_text(const std::string& path, const std::string& text) {
  if (text.size() > kMostBytes)
    fail(ExitCode::bad_file, "{}: more than {} bytes; such a file is shorter", path, kMostBytes);
  std::int64_t number = 0;
  for (std::size_t begin = 0; begin < text.size();) {
    const std::size_t end = std::min(text.find('\n', begin), text.size());
    check_line(path, ++number, std::string_view(text).substr(begin, end - begin));
    begin = end + 1;
  }
}

// `place` is the node's JSON pointer.
Json to_json(const std::string& path, const toml::node& node, const std::string& place, int depth,
             TomlFile* file) {
  const auto line = node.source().begin.line;
  file->lines[place] = line;
  if (depth > kDeepest)
    fail(ExitCode::bad_file, "{}:{}: tables within tables more than {} deep", path, line, kDeepest);
  if (const toml::table* table = node.as_table()) {
    Json object = Json::object();
    for (const auto& [key, value] : *table) {
      const std::string name(key.str());
      object[name] = to_json(path, value, fmt::format("{}/{}", place, name), depth + 1, file);
    }
    return object;
  }
  if (const toml::array* array = node.as_array()) {
    Json list = Json::array();
    for (const toml::node& value : *array)
      list.push_back(
          to_json(path, value, fmt::format("{}/{}", place, list.size()), depth + 1, file));
    return list;
  }
  if (const auto* text = node.as_string()) return text->get();
  if (const auto* integer = node.as_integer()) return integer->get();
  if (const auto* number = node.as_floating_point()) return number->get();
  if (const auto* flag = node.as_boolean()) return flag->get();
  fail(ExitCode::bad_file, "{}:{}: a date or time, where none is expected", path, line);
}

}  // namespace

TomlFile read_toml(const std::filesystem::path& path, const TomlHints& hints) {
  return parse_toml(read_text(path.string(), hints), path.string(), hints);
}

TomlFile parse_toml(const std::string& text, const std::string& path, const TomlHints& hints) {
  check_text(path, text);
  TomlFile file;
  try {
    file.values = to_json(path, toml::parse(text, path), "", 0, &file);
  } catch (const toml::parse_error& error) {
    // It quotes what it saw, also the end of a line.
    std::string what(error.description());
    std::replace_if(
        what.begin(), what.end(), [](char c) { return c < ' '; }, ' ');
    fail(ExitCode::bad_file, "{}:{}: {}; {}", path, error.source().begin.line, what, hints.form);
  } catch (const Error&) {
    throw;
  } catch (const std::logic_error& error) {
    fail(ExitCode::bad_file, "{}: is no TOML; {}", path, hints.form);
  }
  return file;
}

}  // namespace cucina
