// Results of checks for people and for programs.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "recipe/check/check.h"

namespace cucina::checks {

// One line, then for anything but a pass its evidence and hint; ends with a line feed.
std::string table_row(const Result& result, bool color);

// "18 checks in 2.3 s: 16 pass, 2 skip"
std::string summary(const std::vector<Result>& results);

// {"check", "tip", "outcome", "reasons", "found", "measured", "expected", "tolerance", "evidence",
// "hint", "seconds"}; numbers that a verdict has not are null.
nlohmann::ordered_json to_json(const Result& result);

// What --explain shows of a check.
std::string explanation(const Check& check);

}  // namespace cucina::checks
