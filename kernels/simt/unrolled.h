// unrolled: a loop whose passes become straight code on the GPU, so that arrays indexed by its
// counter stay in registers; rolled: one whose passes share their code, however few they are.
#pragma once

#include "kernels/simt/simt.h"

namespace cucina::simt {

#ifdef __CUDACC__
inline namespace gpu {
#else
inline namespace host {
#endif

// body(0), ..., body(kCount - 1)
template <int kCount, typename Body>
__device__ __forceinline__ void unrolled(Body body) {
#ifdef __CUDACC__
#pragma unroll
#endif
  for (int i = 0; i < kCount; ++i) body(i);
}

// body(first), body(first + step), ... below `end`
template <typename Body>
__device__ __forceinline__ void rolled(int first, int end, int step, Body body) {
#ifdef __CUDACC__
#pragma unroll 1
#endif
  for (int i = first; i < end; i += step) body(i);
}

}  // inline namespace of the target
}  // namespace cucina::simt
