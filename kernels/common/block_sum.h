// The sum of one number per thread of a block, in an order that depends on nothing.
#pragma once

#include "kernels/simt/simt.h"

namespace cucina {
// Every .cu file has its own copy: nvcc and g++ compile the same names to different code.
namespace {

// Sixteen threads add a sixteenth of the numbers each, then every thread adds their sums. In
// double, so that a million small numbers lose nothing. Once per launch, or with a barrier between.
template <int kThreads>
struct BlockSum {
  static constexpr int kGroups = 16;
  static constexpr int kGroup = kThreads / kGroups;
  static_assert(kGroup * kGroups == kThreads);

  double of_thread[kThreads];
  double of_group[kGroups];

  // The same sum for all threads.
  __device__ double add(double value) {
    const int thread = static_cast<int>(threadIdx.x);
    of_thread[thread] = value;
    __syncthreads();
    if (thread < kGroups) {
      double sum = 0;
      for (int i = 0; i < kGroup; ++i) sum += of_thread[thread * kGroup + i];
      of_group[thread] = sum;
    }
    __syncthreads();
    double sum = 0;
    for (const double other : of_group) sum += other;
    return sum;
  }
};

}  // namespace
}  // namespace cucina
