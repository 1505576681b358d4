// Divisor: division by a number known at launch, as a multiplication and a shift.
#pragma once

#include <cstdint>

#include "kernels/simt/simt.h"

namespace cucina {
// Every .cu file has its own copy: nvcc and g++ compile the same names to different code.
namespace {

// Kernels find out which pixel they are by dividing, and a division takes as long as dozens of
// additions. With 2^(s-1) < d <= 2^s and m = ceil(2^(31+s) / d), n m / 2^(31+s) rounded down is
// n / d for 0 <= n < 2^31 (Granlund & Montgomery 1994, theorem 4.2); m fits 32 bits.
class Divisor {
 public:
  explicit Divisor(std::int64_t d) : d_(d) {
    if (d < 1 || d > kLimit) return;
    while ((std::int64_t{1} << shift_) < d) ++shift_;
    shift_ += 31;
    multiplier_ = ((std::uint64_t{1} << shift_) + static_cast<std::uint64_t>(d) - 1) /
                  static_cast<std::uint64_t>(d);
  }

  // n / d, for n >= 0.
  __device__ __forceinline__ std::int64_t quotient(std::int64_t n) const {
    if (n < kLimit && d_ <= kLimit) {
      return static_cast<std::int64_t>(static_cast<std::uint64_t>(n) * multiplier_ >> shift_);
    }
    return n / d_;
  }
  __device__ __forceinline__ std::int64_t value() const { return d_; }

 private:
  static constexpr std::int64_t kLimit = std::int64_t{1} << 31;
  std::int64_t d_;
  std::uint64_t multiplier_ = 0;
  int shift_ = 0;
};

}  // namespace
}  // namespace cucina
