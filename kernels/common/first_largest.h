// FirstLargest: where the largest element of a row is, the first among equals.
#pragma once

#include <cstdint>
#include <limits>

#include "kernels/common/row_team.h"

namespace cucina {
// Every .cu file has its own copy: nvcc and g++ compile the same names to different code.
namespace {

inline constexpr std::int32_t kNowhere = std::numeric_limits<std::int32_t>::max();

__device__ __forceinline__ std::int32_t earlier(std::int32_t a, std::int32_t b) {
  return a < b ? a : b;
}

// NaN is passed over, and so is -Inf: a row of nothing else is largest `kNowhere`.
template <typename Real, typename Team>
struct FirstLargest {
  Real largest[Team::kSlots];
  std::int32_t index[Team::kSlots];

  __device__ __forceinline__ FirstLargest() {
    for (int slot = 0; slot < Team::kSlots; ++slot) {
      largest[slot] = -std::numeric_limits<Real>::infinity();
      index[slot] = kNowhere;
    }
  }
  // In the order of k.
  __device__ __forceinline__ void add(int slot, Real x, std::int64_t k) {
    const bool rises = x > largest[slot];
    index[slot] = rises ? static_cast<std::int32_t>(k) : index[slot];
    largest[slot] = rises ? x : largest[slot];
  }
  // The largest of all; for all threads of the team.
  template <int kTurn>
  __device__ __forceinline__ Real value() const {
    return Team::template join<kTurn>([&](int slot) { return largest[slot]; },
                                      [](Real a, Real b) { return a > b ? a : b; });
  }
  // The place of `value`, the largest of all.
  template <int kTurn>
  __device__ __forceinline__ std::int32_t first(Real value) const {
    return Team::template join<kTurn>(
        [&](int slot) { return largest[slot] == value ? index[slot] : kNowhere; }, earlier);
  }
};

}  // namespace
}  // namespace cucina
