// Which checks run, as `check` and `inspect` are told.
#pragma once

#include <CLI/App.hpp>
#include <string>

#include "recipe/check/check.h"

namespace cucina::cli {

// Adds --only and --skip, which fill `selection`, and --explain, which fills `explain` with a
// check's name or "all".
void add_selection(CLI::App& app, checks::Selection* selection, std::string* explain);

}  // namespace cucina::cli
