// Scratch memory for the length of a call.
#pragma once

#include <cstdint>

#include "core/tensor.h"

namespace cucina {

// A tensor of `elements` elements of the dtype and on the device of `like`; undefined for 0.
inline Tensor make_scratch(std::int64_t elements, const Tensor& like) {
  return elements == 0 ? Tensor() : Tensor::empty({elements}, like.dtype(), like.device());
}

}  // namespace cucina
