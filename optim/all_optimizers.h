// The list of optimiser rooms, for the drivers that test and time every one of them.
#pragma once

#include <vector>

#include "kernels/common/case.h"

namespace cucina {

const std::vector<OpEntry>& all_optimizers();

}  // namespace cucina
