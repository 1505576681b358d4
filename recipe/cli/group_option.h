// The --group option: parameters with a learning rate and a weight decay of their own.
#pragma once

#include <CLI/App.hpp>
#include <string>
#include <vector>

#include "recipe/skeleton/trainer.h"

namespace cucina::cli {

// "*.bias:lr=64,decay=0"
//   throws   Error, exit code 2, when it has another form
skeleton::ParameterGroup parse_group(const std::string& text);
// The same back, groups separated by spaces; for config.toml.
std::string to_text(const std::vector<skeleton::ParameterGroup>& groups);

// --group NAME:lr=R,decay=D, as often as wanted.
void add_groups(CLI::App& app, std::vector<skeleton::ParameterGroup>* groups);

}  // namespace cucina::cli
