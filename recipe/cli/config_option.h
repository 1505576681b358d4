// --config: the settings of a run, from the config.toml that it left.
#pragma once

#include <CLI/App.hpp>

#include "recipe/cli/setup_option.h"

namespace cucina::cli {

// Adds --config FILE. Each setting in the file counts as its option, unless that one is given; what
// follows from others (the number of parameters, say) is passed over. A file that holds anything
// else is an Error with its line: exit code 3 when it is no TOML, 2 when a setting is unknown or
// wrong.
void add_config(CLI::App& app, SetupOptions* options);

// Are the data those of the file?
//   throws   Error, exit code 3, when it says otherwise; not where --data is given beside it
void require_same_data(const SetupOptions& options, const data::Dataset& data);

}  // namespace cucina::cli
