// Along: which dimension of a product's factor lies side by side in memory.
#pragma once

#include <cstdint>

namespace cucina {

// Consecutive threads read consecutive elements along it: `inner` is the dimension that is summed
// over, `outer` the rows of a or the columns of b.
enum class Along : std::uint8_t { inner, outer };

}  // namespace cucina
