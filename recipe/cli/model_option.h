// The --model option: a known model's name, or a file of layers.
#pragma once

#include <CLI/App.hpp>
#include <cstdint>
#include <string>

#include "nn/models.h"

namespace cucina::cli {

//   throws   Error, exit code 2, when the value is neither a known name nor ends in .toml
void check_model(const std::string& model);

// --model NAME|FILE.toml.
void add_model(CLI::App& app, std::string* model, const std::string& help);

// What to build for such images.
//   throws   Error, exit code 3, when a file of layers cannot be read
nn::ModelSpec model_spec(const std::string& model, std::int64_t h, std::int64_t w, std::int64_t c,
                         std::int64_t classes);

}  // namespace cucina::cli
