// Registers a GoogleTest for every case of every room.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "core/error.h"
#include "kernels/common/case.h"

namespace cucina::testing {

// All rooms: ops and optimisers.
std::vector<OpEntry> all_rooms();

// Registers `suite.name`, which passes when `check` returns "" and fails with the sentence it
// returns or throws.
void add_test(std::string_view suite, const std::string& name, std::function<std::string()> check);

// Calls f(room, case) for each.
void for_each_case(const std::function<void(const OpEntry&, const Case&)>& f);

}  // namespace cucina::testing
