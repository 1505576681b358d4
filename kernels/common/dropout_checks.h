// What dropout and dropout2d refuse in the same words.
#pragma once

#include <string_view>

#include "core/tensor.h"

namespace cucina {

// Throws Error naming `op` unless p is in [0, 1).
void check_drop_probability(std::string_view op, float p);
// Throws Error naming `op` unless `step` is one i32 on x's device.
void check_drop_step(std::string_view op, const Tensor& x, const Tensor& step);

}  // namespace cucina
