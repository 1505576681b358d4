// OnlineSoftmax: the largest element of a row and the sum of all e^(x - largest), in one pass.
#pragma once

#include <cstdint>
#include <limits>

#include "core/math.h"
#include "kernels/common/row_team.h"

namespace cucina {
// Every .cu file has its own copy: nvcc and g++ compile the same names to different code.
namespace {

template <typename Real>
struct SoftmaxSum {
  Real largest;
  // NaN where there are no probabilities: of a NaN, of +Inf, of -Inf only.
  Real sum;
};

// Every slot has a largest element of its own so far, and its sum is scaled down when a larger one
// comes; at the end all are scaled to the largest of all. One exp an element, as either the sum or
// the new term is at scale 1.
//   source   Milakov & Gimelshein 2018, arXiv:1805.02867, algorithm 3
template <typename Real, typename Team>
struct OnlineSoftmax {
  // Below every finite number, and finite, so that x - largest is a number for -Inf, too.
  static constexpr Real kLowest = std::numeric_limits<Real>::lowest();

  Real largest[Team::kSlots];
  Real sums[Team::kSlots];

  __device__ __forceinline__ OnlineSoftmax() {
    for (int slot = 0; slot < Team::kSlots; ++slot) {
      largest[slot] = kLowest;
      sums[slot] = Real(0);
    }
  }

  __device__ __forceinline__ void add(int slot, Real x) {
    const Real distance = x - largest[slot];
    const Real smaller = math::exp(-math::detail::absolute(distance));
    const bool rises = distance > Real(0);
    sums[slot] = rises ? fma(sums[slot], smaller, Real(1)) : sums[slot] + smaller;
    largest[slot] = rises ? x : largest[slot];
  }

  // For all threads of the team; kTurn and kTurn + 1 are its turns.
  template <int kTurn>
  __device__ __forceinline__ SoftmaxSum<Real> join() {
    const Real all = Team::template join<kTurn>([&](int slot) { return largest[slot]; },
                                                [](Real a, Real b) { return a > b ? a : b; });
    Real scaled[Team::kSlots];
    for (int slot = 0; slot < Team::kSlots; ++slot) {
      scaled[slot] = sums[slot] * math::exp(largest[slot] - all);
    }
    const Real sum = Team::template sum<kTurn + 1>(scaled);
    const bool has_probabilities = all < std::numeric_limits<Real>::infinity() && sum > Real(0);
    return {all, has_probabilities ? sum : std::numeric_limits<Real>::quiet_NaN()};
  }
};

}  // namespace
}  // namespace cucina
