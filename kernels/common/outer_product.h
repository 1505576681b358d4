// The innermost step of every product of matrices: eight by eight sums in a thread's registers, or
// fewer rows of eight.
#pragma once

#include <utility>

#include "kernels/simt/pack8.h"
#include "kernels/simt/simt.h"

namespace cucina {
// Every .cu file has its own copy: nvcc and g++ compile the same names to different code.
namespace {

inline constexpr int kOuter = 8;

// 64 multiply-adds for every 16 numbers read. Written without loops over rows, so that both
// compilers keep all sums in registers.
template <typename Real, int kRowCount = kOuter>
class OuterProduct {
 public:
  // sum[i][j] += a(i) b[j], each with one rounding
  template <typename A>
  __device__ __forceinline__ void add(A a, const Real* b) {
    add(a, simt::Pack8<Real>::load(b));
  }
  template <typename A>
  __device__ __forceinline__ void add(A a, const simt::Pack8<Real>& b) {
    add_rows(a, b, kRows);
  }

  // Calls body(i, sums), sums[j] being the sum of row i and column j.
  template <typename Body>
  __device__ __forceinline__ void for_each_row(Body body) const {
    visit_rows(body, kRows);
  }

 private:
  static constexpr std::make_integer_sequence<int, kRowCount> kRows = {};

  template <typename A, int... kRow>
  __device__ __forceinline__ void add_rows(A a, const simt::Pack8<Real>& b,
                                           std::integer_sequence<int, kRow...>) {
    (sum_[kRow].add_product(a(kRow), b), ...);
  }
  template <typename Body, int... kRow>
  __device__ __forceinline__ void visit_rows(Body body, std::integer_sequence<int, kRow...>) const {
    (visit(body, kRow, sum_[kRow]), ...);
  }
  template <typename Body>
  static __device__ void visit(Body body, int row, const simt::Pack8<Real>& sum) {
    Real sums[kOuter];
    sum.store(sums);
    body(row, sums);
  }

  simt::Pack8<Real> sum_[kRowCount] = {};
};

}  // namespace
}  // namespace cucina
