// Element types, and the map between them and C++ types.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <utility>

#include "core/bfloat16.h"

namespace cucina {

// f32 everywhere; bf16 for speed; f64 for gradient checks; i32 labels and u8 images at the door.
enum class DType : std::uint8_t { f32, f64, bf16, i32, u8 };

std::size_t size_of(DType dtype);
std::string_view name(DType dtype);

template <typename T>
struct DTypeOf;
template <>
struct DTypeOf<float> {
  static constexpr DType value = DType::f32;
};
template <>
struct DTypeOf<double> {
  static constexpr DType value = DType::f64;
};
template <>
struct DTypeOf<bfloat16> {
  static constexpr DType value = DType::bf16;
};
template <>
struct DTypeOf<std::int32_t> {
  static constexpr DType value = DType::i32;
};
template <>
struct DTypeOf<std::uint8_t> {
  static constexpr DType value = DType::u8;
};

template <typename T>
inline constexpr DType kDType = DTypeOf<T>::value;

// The type arithmetic on a T happens in: sums and products of bf16 are f32.
template <typename T>
struct ComputeOf {
  using type = T;
};
template <>
struct ComputeOf<bfloat16> {
  using type = float;
};
template <typename T>
using Compute = typename ComputeOf<T>::type;

// Throws Error: `op` has no kernel for `dtype`.
[[noreturn]] void throw_no_kernel(std::string_view op, DType dtype);

// Calls f.template operator()<Real>() with float or double; throws Error for other dtypes.
template <typename F>
void for_real(std::string_view op, DType dtype, F&& f) {
  switch (dtype) {
    case DType::f32:
      f.template operator()<float>();
      return;
    case DType::f64:
      f.template operator()<double>();
      return;
    default:
      throw_no_kernel(op, dtype);
  }
}

// The same with float, double or bfloat16, for kernels that load a T, compute in Compute<T> by
// static_cast<Compute<T>>(x), and store by T(result).
template <typename F>
void for_floating(std::string_view op, DType dtype, F&& f) {
  if (dtype == DType::bf16) {
    f.template operator()<bfloat16>();
  } else {
    for_real(op, dtype, std::forward<F>(f));
  }
}

// The dtype sums, statistics and master weights have where values have `dtype`: f32 for bf16.
constexpr DType compute_dtype(DType dtype) { return dtype == DType::bf16 ? DType::f32 : dtype; }

}  // namespace cucina
