// Where the elements of a matrix lie that is a factor of a product, for the tiles that load them.
#pragma once

#include <cstdint>

#include "kernels/common/along.h"
#include "kernels/simt/simt.h"

namespace cucina {
// Every .cu file has its own copy: nvcc and g++ compile the same names to different code.
namespace {

// Outer indices (rows of a, columns of b) [first, size) of a factor; `pitch` elements from a line
// to the next, lines running along kWay. kWhole: lines begin at multiples of 16 bytes and are
// multiples of 16 bytes long.
template <typename T, Along kWay, bool kWhole>
struct MatrixLoader {
  static constexpr Along kAlong = kWay;
  static constexpr bool kChunked = kWhole;
  const T* data;
  std::int64_t pitch, first, size;

  __device__ __forceinline__ const T* outer(int i) const {
    if (first + i >= size) return nullptr;
    return data + (first + i) * (kWay == Along::inner ? pitch : 1);
  }
  __device__ __forceinline__ std::int64_t inner(std::int64_t l) const {
    return kWay == Along::inner ? l : l * pitch;
  }
  __device__ __forceinline__ const T* at(const T* outer, std::int64_t inner) const {
    return outer != nullptr ? outer + inner : nullptr;
  }
};

}  // namespace
}  // namespace cucina
