// Registers a GoogleTest for every case of every room.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "core/error.h"
#include "kernels/common/case.h"

namespace cucina::testing {

// Registers `suite.name`, which passes when `check` returns "" and fails with the sentence it
// returns or throws.
void add_test(std::string_view suite, const std::string& name, std::function<std::string()> check);

// Calls f(room, case) for each case that is checked.
void for_each_case(const std::function<void(const OpEntry&, const Case&)>& f);

// Runs what the filter selects; selecting nothing is a failure, so that a room that is missing from
// the list does not pass for tested. Returns main's result.
int run_all();

}  // namespace cucina::testing
