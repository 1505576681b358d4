// bfloat16: the upper 16 bits of an f32, rounded to nearest even.
#pragma once

#include <bit>
#include <cstdint>

namespace cucina {

// Storage only: arithmetic happens in f32. NaN stays NaN (quiet), Inf stays Inf, values beyond the
// largest bf16 round to Inf.
struct bfloat16 {
  std::uint16_t bits = 0;

  bfloat16() = default;
  constexpr explicit bfloat16(float value) : bits(round(value)) {}
  constexpr explicit operator float() const {
    return std::bit_cast<float>(static_cast<std::uint32_t>(bits) << 16);
  }

 private:
  static constexpr std::uint16_t round(float value) {
    const std::uint32_t u = std::bit_cast<std::uint32_t>(value);
    if ((u & 0x7fffffffu) > 0x7f800000u) return static_cast<std::uint16_t>((u >> 16) | 0x40u);
    return static_cast<std::uint16_t>((u + 0x7fffu + ((u >> 16) & 1u)) >> 16);
  }
};

}  // namespace cucina
