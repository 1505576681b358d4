// How exact products of f32 matrices have to be.
#pragma once

#include <cstdint>
#include <string_view>

namespace cucina {

// What an op may do to f32 operands of a product. Sums are f32 either way.
enum class Precision : std::uint8_t {
  f32,   // nothing: every product of two f32 is rounded once
  tf32,  // round them to 10 bits of mantissa, which tensor cores multiply; error about 1e-3
};

// "f32" or "tf32"; throws Error for another name.
Precision parse_precision(std::string_view text);
std::string_view name(Precision precision);

// f32 unless ScopedPrecision, set_float32_precision or the environment's CUCINA_PRECISION say
// otherwise. Obeyed by `hand` and `vendor` of ops with kTensorCores (matmul, conv2d); oneDNN has no
// tf32 on a cpu and ignores it.
Precision float32_precision();
void set_float32_precision(Precision precision);

class ScopedPrecision {
 public:
  explicit ScopedPrecision(Precision precision) : before_(float32_precision()) {
    set_float32_precision(precision);
  }
  ~ScopedPrecision() { set_float32_precision(before_); }
  ScopedPrecision(const ScopedPrecision&) = delete;
  ScopedPrecision& operator=(const ScopedPrecision&) = delete;

 private:
  Precision before_;
};

}  // namespace cucina
