// Every room, ops and optimisers alike, for the drivers that check and time all of them.
#pragma once

#include <vector>

#include "kernels/common/case.h"

namespace cucina {

const std::vector<OpEntry>& all_rooms();

}  // namespace cucina
