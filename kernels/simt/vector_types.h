// CUDA's vector types and dim3 for the host, with CUDA's sizes and alignments.
#pragma once

namespace cucina::simt {
inline namespace host {
namespace cuda {

// Aggregates without initialisers, so that shared arrays of them stay uninitialised as on the GPU.
#define CUCINA_SIMT_VECTOR_TYPES(T, name, align2, align4)                                \
  struct name##1 {                                                                       \
    T x;                                                                                 \
  };                                                                                     \
  struct alignas(align2) name##2 {                                                       \
    T x, y;                                                                              \
  };                                                                                     \
  struct name##3 {                                                                       \
    T x, y, z;                                                                           \
  };                                                                                     \
  struct alignas(align4) name##4 {                                                       \
    T x, y, z, w;                                                                        \
  };                                                                                     \
  [[maybe_unused]] constexpr name##1 make_##name##1(T x) { return {x}; }                 \
  [[maybe_unused]] constexpr name##2 make_##name##2(T x, T y) { return {x, y}; }         \
  [[maybe_unused]] constexpr name##3 make_##name##3(T x, T y, T z) { return {x, y, z}; } \
  [[maybe_unused]] constexpr name##4 make_##name##4(T x, T y, T z, T w) { return {x, y, z, w}; }

CUCINA_SIMT_VECTOR_TYPES(signed char, char, 2, 4)
CUCINA_SIMT_VECTOR_TYPES(unsigned char, uchar, 2, 4)
CUCINA_SIMT_VECTOR_TYPES(short, short, 4, 8)
CUCINA_SIMT_VECTOR_TYPES(unsigned short, ushort, 4, 8)
CUCINA_SIMT_VECTOR_TYPES(int, int, 8, 16)
CUCINA_SIMT_VECTOR_TYPES(unsigned, uint, 8, 16)
CUCINA_SIMT_VECTOR_TYPES(long long, longlong, 16, 16)
CUCINA_SIMT_VECTOR_TYPES(unsigned long long, ulonglong, 16, 16)
CUCINA_SIMT_VECTOR_TYPES(float, float, 8, 16)
CUCINA_SIMT_VECTOR_TYPES(double, double, 16, 16)
#undef CUCINA_SIMT_VECTOR_TYPES

struct dim3 {
  unsigned x, y, z;
  constexpr dim3(unsigned x = 1, unsigned y = 1, unsigned z = 1) : x(x), y(y), z(z) {}
  constexpr dim3(uint3 v) : x(v.x), y(v.y), z(v.z) {}
  constexpr operator uint3() const { return {x, y, z}; }
};

}  // namespace cuda
}  // namespace host
}  // namespace cucina::simt
