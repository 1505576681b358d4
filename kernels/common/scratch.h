// Scratch memory for the length of a call.
#pragma once

#include <cstdint>

#include "core/tensor.h"

namespace cucina {

// A tensor of `elements` sums of elements like those of `like` (f32 for bf16), on its device;
// undefined for 0.
inline Tensor make_scratch(std::int64_t elements, const Tensor& like) {
  return elements == 0 ? Tensor()
                       : Tensor::empty({elements}, compute_dtype(like.dtype()), like.device());
}

}  // namespace cucina
