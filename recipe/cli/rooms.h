// Choosing ops by name on the command line.
#pragma once

#include <CLI/App.hpp>
#include <string>
#include <vector>

#include "kernels/common/case.h"

namespace cucina::cli {

// --op NAME, as often as wanted.
void add_op_names(CLI::App& app, std::vector<std::string>* names, const std::string& help);

// The rooms of these names, in the order of the list of all; all of them for no names.
//   throws   Error, exit code 2, naming `command` and the nearest op where there is none of a name
std::vector<OpEntry> rooms_named(std::string_view command, const std::vector<std::string>& names);

}  // namespace cucina::cli
