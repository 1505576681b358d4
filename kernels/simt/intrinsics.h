// CUDA's scalar intrinsics on the host: bit casts, bit counting, min and max, correctly rounded
// arithmetic.
#pragma once

#include <math.h>  // NOLINT

#include <bit>
#include <cstdint>

#include "kernels/simt/host.h"

namespace cucina::simt {
inline namespace host {
namespace cuda {

inline int __float_as_int(float x) { return std::bit_cast<int>(x); }
inline unsigned __float_as_uint(float x) { return std::bit_cast<unsigned>(x); }
inline float __int_as_float(int x) { return std::bit_cast<float>(x); }
inline float __uint_as_float(unsigned x) { return std::bit_cast<float>(x); }
inline long long __double_as_longlong(double x) { return std::bit_cast<long long>(x); }
inline double __longlong_as_double(long long x) { return std::bit_cast<double>(x); }

inline int __popc(unsigned x) { return std::popcount(x); }
inline int __popcll(unsigned long long x) { return std::popcount(x); }
inline int __clz(int x) { return std::countl_zero(static_cast<unsigned>(x)); }
inline int __clzll(long long x) { return std::countl_zero(static_cast<unsigned long long>(x)); }
inline int __ffs(int x) { return x == 0 ? 0 : std::countr_zero(static_cast<unsigned>(x)) + 1; }
inline int __ffsll(long long x) {
  return x == 0 ? 0 : std::countr_zero(static_cast<unsigned long long>(x)) + 1;
}
inline unsigned __brev(unsigned x) {
  x = (x >> 1 & 0x55555555u) | (x & 0x55555555u) << 1;
  x = (x >> 2 & 0x33333333u) | (x & 0x33333333u) << 2;
  x = (x >> 4 & 0x0f0f0f0fu) | (x & 0x0f0f0f0fu) << 4;
  return __builtin_bswap32(x);
}
inline unsigned __umulhi(unsigned a, unsigned b) {
  return static_cast<unsigned>(static_cast<std::uint64_t>(a) * b >> 32);
}
inline unsigned __byte_perm(unsigned a, unsigned b, unsigned selector) {
  const std::uint64_t bytes = static_cast<std::uint64_t>(b) << 32 | a;
  unsigned result = 0;
  for (int i = 0; i < 4; ++i) {
    result |= static_cast<unsigned>(bytes >> 8 * (selector >> 4 * i & 7) & 0xff) << 8 * i;
  }
  return result;
}

template <typename T>
T __ldg(const T* p) {
  return *p;
}

inline float __fadd_rn(float a, float b) { return a + b; }
inline float __fmul_rn(float a, float b) { return a * b; }
inline float __fdiv_rn(float a, float b) { return a / b; }
inline float __fsqrt_rn(float a) { return sqrtf(a); }
inline float __fmaf_rn(float a, float b, float c) { return fmaf(a, b, c); }
inline double __fma_rn(double a, double b, double c) { return ::fma(a, b, c); }
inline int __float2int_rn(float a) { return static_cast<int>(rintf(a)); }
// Correctly rounded twice here, within 2 ulp on the GPU: not the same bits.
inline float rsqrtf(float a) { return 1.0f / sqrtf(a); }
inline double rsqrt(double a) { return 1.0 / sqrt(a); }
inline float __saturatef(float a) { return a > 0.0f ? (a < 1.0f ? a : 1.0f) : 0.0f; }

// As PTX min.f32 and max.f32: a number wins over NaN, and -0 < +0.
inline float min(float a, float b) {
  if (a == b) return __uint_as_float(__float_as_uint(a) | __float_as_uint(b));
  return (a < b || b != b) ? a : b;
}
inline float max(float a, float b) {
  if (a == b) return __uint_as_float(__float_as_uint(a) & __float_as_uint(b));
  return (a > b || b != b) ? a : b;
}
inline double min(double a, double b) {
  if (a == b) {
    return std::bit_cast<double>(std::bit_cast<std::uint64_t>(a) | std::bit_cast<std::uint64_t>(b));
  }
  return (a < b || b != b) ? a : b;
}
inline double max(double a, double b) {
  if (a == b) {
    return std::bit_cast<double>(std::bit_cast<std::uint64_t>(a) & std::bit_cast<std::uint64_t>(b));
  }
  return (a > b || b != b) ? a : b;
}
inline double min(double a, float b) { return min(a, static_cast<double>(b)); }
inline double min(float a, double b) { return min(static_cast<double>(a), b); }
inline double max(double a, float b) { return max(a, static_cast<double>(b)); }
inline double max(float a, double b) { return max(static_cast<double>(a), b); }

#define CUCINA_SIMT_MIN_MAX(R, A, B)                                                      \
  constexpr R min(A a, B b) {                                                             \
    return static_cast<R>(a) < static_cast<R>(b) ? static_cast<R>(a) : static_cast<R>(b); \
  }                                                                                       \
  constexpr R max(A a, B b) {                                                             \
    return static_cast<R>(a) > static_cast<R>(b) ? static_cast<R>(a) : static_cast<R>(b); \
  }
CUCINA_SIMT_MIN_MAX(int, int, int)
CUCINA_SIMT_MIN_MAX(unsigned, unsigned, unsigned)
CUCINA_SIMT_MIN_MAX(unsigned, unsigned, int)
CUCINA_SIMT_MIN_MAX(unsigned, int, unsigned)
CUCINA_SIMT_MIN_MAX(long, long, long)
CUCINA_SIMT_MIN_MAX(unsigned long, unsigned long, unsigned long)
CUCINA_SIMT_MIN_MAX(unsigned long, unsigned long, long)
CUCINA_SIMT_MIN_MAX(unsigned long, long, unsigned long)
CUCINA_SIMT_MIN_MAX(long long, long long, long long)
CUCINA_SIMT_MIN_MAX(unsigned long long, unsigned long long, unsigned long long)
CUCINA_SIMT_MIN_MAX(unsigned long long, unsigned long long, long long)
CUCINA_SIMT_MIN_MAX(unsigned long long, long long, unsigned long long)
#undef CUCINA_SIMT_MIN_MAX

}  // namespace cuda
}  // namespace host
}  // namespace cucina::simt
