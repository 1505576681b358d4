// Reduction: what becomes of the losses of examples.
#pragma once

#include <cstdint>

namespace cucina {

enum class Reduction : std::uint8_t { mean, sum };

}  // namespace cucina
