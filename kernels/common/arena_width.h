// How many elements of flat buffers a thread moves at once.
#pragma once

#include <cstdint>
#include <initializer_list>

#include "core/tensor.h"

namespace cucina {

// Calls f.template operator()<kWidth>() with 16 bytes' worth of Reals where the address of every
// tensor suits that, else with 1. Undefined tensors do not count.
template <typename Real, typename F>
void for_arena_width(std::initializer_list<Tensor> tensors, F&& f) {
  constexpr int kWidth = 16 / sizeof(Real);
  for (const Tensor& tensor : tensors) {
    if (!tensor.defined()) continue;
    const std::uintptr_t bytes = kWidth * size_of(tensor.dtype());
    if (reinterpret_cast<std::uintptr_t>(tensor.raw()) % (bytes < 16 ? bytes : 16) != 0) {
      return f.template operator()<1>();
    }
  }
  f.template operator()<kWidth>();
}

}  // namespace cucina
