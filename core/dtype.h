// Element types, and the map between them and C++ types.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

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

}  // namespace cucina
