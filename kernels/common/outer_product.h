// The innermost step of every product of matrices: eight by eight sums in a thread's registers.
#pragma once

#include "kernels/simt/simt.h"

namespace cucina {
// Every .cu file has its own copy: nvcc and g++ compile the same names to different code.
namespace {

inline constexpr int kOuter = 8;

// sum[i][j] += a(i) b[j]: 64 multiply-adds for 16 reads. Under simt a row of sums is one vector.
template <typename Real, typename A>
__device__ __forceinline__ void add_outer_product(A a, const Real* b, Real (&sum)[kOuter][kOuter]) {
  Real b_part[kOuter];
  for (int j = 0; j < kOuter; ++j) b_part[j] = b[j];
  for (int i = 0; i < kOuter; ++i) {
    const Real a_part = a(i);
    for (int j = 0; j < kOuter; ++j) sum[i][j] = fma(a_part, b_part[j], sum[i][j]);
  }
}

}  // namespace
}  // namespace cucina
