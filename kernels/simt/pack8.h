// Eight numbers of one thread, side by side: eight registers on the GPU, one vector register on the
// host.
#pragma once

#include <utility>

#include "kernels/simt/simt.h"

// Left to itself g++ turns a thread's eight by eight sums the other way round and spends its time
// transposing them. The race detector wants plain loads.
#if !defined(__CUDACC__) && defined(__FMA__) && !defined(__SANITIZE_THREAD__)
#include <immintrin.h>
#endif

namespace cucina::simt {

#ifdef __CUDACC__
inline namespace gpu {
#else
inline namespace host {
#endif

template <typename Real>
struct Pack8 {
  Real lanes[8];

  static __device__ __forceinline__ Pack8 load(const Real* from) {
    Pack8 pack;
    for (int i = 0; i < 8; ++i) pack.lanes[i] = from[i];
    return pack;
  }
  __device__ __forceinline__ void store(Real* to) const {
    for (int i = 0; i < 8; ++i) to[i] = lanes[i];
  }
  // this += a b, each lane with one rounding
  __device__ __forceinline__ void add_product(Real a, const Pack8& b) {
    for (int i = 0; i < 8; ++i) lanes[i] = fma(a, b.lanes[i], lanes[i]);
  }
};

#if !defined(__CUDACC__) && defined(__FMA__) && !defined(__SANITIZE_THREAD__)
template <>
struct Pack8<float> {
  __m256 lanes;

  static __forceinline__ Pack8 load(const float* from) { return {_mm256_loadu_ps(from)}; }
  __forceinline__ void store(float* to) const { _mm256_storeu_ps(to, lanes); }
  __forceinline__ void add_product(float a, const Pack8& b) {
    lanes = _mm256_fmadd_ps(_mm256_set1_ps(a), b.lanes, lanes);
  }
};

template <>
struct Pack8<double> {
  __m256d low, high;

  static __forceinline__ Pack8 load(const double* from) {
    return {_mm256_loadu_pd(from), _mm256_loadu_pd(from + 4)};
  }
  __forceinline__ void store(double* to) const {
    _mm256_storeu_pd(to, low);
    _mm256_storeu_pd(to + 4, high);
  }
  __forceinline__ void add_product(double a, const Pack8& b) {
    low = _mm256_fmadd_pd(_mm256_set1_pd(a), b.low, low);
    high = _mm256_fmadd_pd(_mm256_set1_pd(a), b.high, high);
  }
};
#endif

}  // inline namespace of the target
}  // namespace cucina::simt
