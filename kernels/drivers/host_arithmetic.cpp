// Multiply-adds in vector registers; compiled with contraction on, unlike everything else.
#include "kernels/drivers/host_arithmetic.h"

namespace cucina::drivers {
namespace {

#ifdef __AVX512F__
constexpr int kVectorBytes = 64;
constexpr int kChains = 24;  // independent sums: latency times units, and no more than registers
#else
constexpr int kVectorBytes = 32;
constexpr int kChains = 12;
#endif

// The compiler must take `value` as used and changed.
template <typename Vector>
void keep(Vector& value) {
  asm volatile("" : "+m"(value));
}

template <typename Real>
double multiply_add(std::int64_t rounds) {
  typedef Real Vector __attribute__((vector_size(kVectorBytes)));
  constexpr int kLanes = kVectorBytes / static_cast<int>(sizeof(Real));
  Vector sums[kChains], factor, term;
  for (int lane = 0; lane < kLanes; ++lane) {
    factor[lane] = Real(0.999);
    term[lane] = Real(1e-3);
    for (Vector& sum : sums) sum[lane] = Real(lane);
  }
  keep(factor);
  keep(term);
  for (std::int64_t i = 0; i < rounds; ++i) {
#pragma GCC unroll 24
    for (Vector& sum : sums) sum = sum * factor + term;
  }
  for (Vector& sum : sums) keep(sum);
  return 2.0 * static_cast<double>(rounds) * kChains * kLanes;
}

}  // namespace

double multiply_add_f32(std::int64_t rounds) { return multiply_add<float>(rounds); }
double multiply_add_f64(std::int64_t rounds) { return multiply_add<double>(rounds); }

}  // namespace cucina::drivers
