// What the front doors of normalisations check alike.
#pragma once

#include <string_view>

#include "core/tensor.h"

namespace cucina {

// Throws Error unless `vector` is (c), c the channels of x, on its device and of the dtype
// statistics have beside it: x's, but f32 beside bf16.
void check_channel_vector(std::string_view op, std::string_view name, const Tensor& vector,
                          const Tensor& x);

// The same for a tensor that must be of `shape`, one gamma per element that is normalised together.
void check_beside(std::string_view op, std::string_view name, const Tensor& tensor,
                  const Shape& shape, const Tensor& x);

// Throws Error unless eps is finite and not negative.
void check_eps(std::string_view op, double eps);

}  // namespace cucina
