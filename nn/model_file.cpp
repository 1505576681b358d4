// Reads TOML with toml++, whose release has inputs it cannot take: those are refused before it sees
// them, and its assertions throw (see CMakeLists.txt).
#include "nn/model_file.h"

#include <toml++/toml.h>

#include <algorithm>
#include <fstream>
#include <nlohmann/json.hpp>
#include <stdexcept>

#include "core/error.h"

namespace cucina::nn {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::uintmax_t kMostBytes = 64 << 10;
// Every dot of a key is a table within a table, and the parser recurses.
constexpr std::size_t kLongestLine = 400;
constexpr int kDeepest = 64;

std::string read_text(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::string text(kMostBytes + 1, '\0');
  file.read(text.data(), static_cast<std::streamsize>(text.size()));
  if (file.bad() || (file.fail() && !file.eof()) || file.gcount() < 0)
    fail(ExitCode::bad_file, "{}: cannot be read; give a TOML file with [[layers]]", path);
  text.resize(static_cast<std::size_t>(file.gcount()));
  return text;
}

void check_text(const std::string& path, const std::string& text) {
  if (text.size() > kMostBytes)
    fail(ExitCode::bad_file, "{}: more than {} bytes; a list of layers is shorter", path,
         kMostBytes);
  std::size_t line = 1, column = 0;
  for (const char c : text) {
    ++column;
    const auto byte = static_cast<unsigned char>(c);
    if (byte == 0 || byte >= 0x80)
      fail(ExitCode::bad_file,
           "{}:{}: byte 0x{:02x} in column {}; only ASCII is read here, also in comments", path,
           line, byte, column);
    if (column > kLongestLine)
      fail(ExitCode::bad_file, "{}:{}: more than {} characters in a line; break it", path, line,
           kLongestLine);
    if (c == '\n') {
      ++line;
      column = 0;
    }
  }
}

Json to_json(const std::string& path, const toml::node& node, int depth) {
  const auto line = node.source().begin.line;
  if (depth > kDeepest)
    fail(ExitCode::bad_file, "{}:{}: tables within tables more than {} deep", path, line, kDeepest);
  if (const toml::table* table = node.as_table()) {
    Json object = Json::object();
    for (const auto& [key, value] : *table)
      object[std::string(key.str())] = to_json(path, value, depth + 1);
    return object;
  }
  if (const toml::array* array = node.as_array()) {
    Json list = Json::array();
    for (const toml::node& value : *array) list.push_back(to_json(path, value, depth + 1));
    return list;
  }
  if (const auto* text = node.as_string()) return text->get();
  if (const auto* integer = node.as_integer()) return integer->get();
  if (const auto* number = node.as_floating_point()) return number->get();
  if (const auto* flag = node.as_boolean()) return flag->get();
  fail(ExitCode::bad_file, "{}:{}: a date or time; layers have none", path, line);
}

}  // namespace

std::string read_layers(const std::filesystem::path& path) {
  return parse_layers(read_text(path.string()), path.string());
}

std::string parse_layers(const std::string& text, const std::string& path) {
  check_text(path, text);
  Json document;
  try {
    document = to_json(path, toml::parse(text, path), 0);
  } catch (const toml::parse_error& error) {
    // It quotes what it saw, also the end of a line.
    std::string what(error.description());
    std::replace_if(
        what.begin(), what.end(), [](char c) { return c < ' '; }, ' ');
    fail(ExitCode::bad_file, "{}:{}: {}; see docs/models.md for the form", path,
         error.source().begin.line, what);
  } catch (const Error&) {
    throw;
  } catch (const std::logic_error& error) {
    fail(ExitCode::bad_file, "{}: is no TOML; see docs/models.md for the form", path);
  }
  for (const auto& item : document.items()) {
    if (item.key() != "layers")
      fail(ExitCode::bad_file, "{}: '{}' is unknown; a model file holds [[layers]] alone", path,
           item.key().substr(0, 40));
  }
  if (!document.contains("layers") || !document["layers"].is_array())
    fail(ExitCode::bad_file, "{}: holds no [[layers]]; see docs/models.md for the form", path);
  return document["layers"].dump();
}

}  // namespace cucina::nn
