// A model's layers from a TOML file.
#pragma once

#include <filesystem>
#include <string>

namespace cucina::nn {

// Reads [[layers]] tables and returns them as the JSON that nn/layer_list.h wants.
//   throws   Error, exit code 3, with file and line: it cannot be read, is too large, is no TOML,
//   or
//            holds anything but layers
std::string read_layers(const std::filesystem::path& path);
// The same of a file's text; `path` is for sentences.
std::string parse_layers(const std::string& text, const std::string& path);

}  // namespace cucina::nn
