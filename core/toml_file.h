// TOML files as JSON, with the line that each value stands in.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>
#include <string>

namespace cucina {

struct TomlFile {
  nlohmann::ordered_json values;              // of the whole file, an object
  std::map<std::string, std::int64_t> lines;  // by JSON pointer: "/train/epochs"
};

// What a sentence says of a file that is none.
struct TomlHints {
  std::string wanted = "a TOML file";  // "FILE: cannot be read; give " this
  std::string form = "see the file for the form";
};

// Reads a file of at most 64 KiB in ASCII, without strings over several lines, dates and times.
//   throws   Error, exit code 3, with file and line: it cannot be read, or is something else
TomlFile read_toml(const std::filesystem::path& path, const TomlHints& hints);
// The same of a file's text; `path` is for sentences.
TomlFile parse_toml(const std::string& text, const std::string& path, const TomlHints& hints);

}  // namespace cucina
