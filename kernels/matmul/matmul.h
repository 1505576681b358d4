// matmul and linear: products of matrices.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "core/tensor.h"
#include "kernels/common/case.h"

namespace cucina {

struct MatmulParams {
  bool transpose_a = false;
  bool transpose_b = false;
};

// The product of two matrices, c[i,j] = sum_l a'[i,l] b'[l,j], where a' is a or its transpose.
//   a        (m, k), with transpose_a (k, m); f32 or f64
//   b        (k, n), with transpose_b (n, k); same dtype and device
//   returns  (m, n); zeros when k is 0
//   gradient da' = dc b'^T, db' = a'^T dc; `hand` sums in a fixed order: equal bits from run to run
//   throws   Error when a rank is not 2 or the inner sizes differ
Tensor matmul(const Tensor& a, const Tensor& b, const MatmulParams& params = {});

// The fully connected layer, y[i,j] = b[j] + sum_l x[i,l] w[j,l].
//   x        (n, in) f32 or f64
//   w        (out, in) same dtype and device;   b (out) or undefined
//   returns  (n, out)
//   gradient dx = dy w, dw = dy^T x, db = the column sums of dy
//   throws   Error when a rank is not 2, the inner sizes differ, or b has not `out` elements
Tensor linear(const Tensor& x, const Tensor& w, const Tensor& b);

// For backends whose entries want none.
inline std::int64_t no_multiply_scratch(std::int64_t, std::int64_t, std::int64_t) { return 0; }
inline std::int64_t no_bias_gradient_scratch(std::int64_t, std::int64_t) { return 0; }

// What a backend provides. Scratch is memory of the same dtype that lives for the call: the front
// door allocates as many elements as the entry's ..._scratch says (and passes an undefined Tensor
// for 0).
struct MatmulOp {
  static constexpr std::string_view kName = "matmul";
  DTypes dtypes;
  // c (+)= a' b' + bias; bias (n) is undefined where there is none.
  void (*multiply)(const Tensor& a, const Tensor& b, const MatmulParams& params, const Tensor& bias,
                   Write write, const Tensor& c, const Tensor& scratch);
  std::int64_t (*multiply_scratch)(std::int64_t m, std::int64_t n, std::int64_t k);
  // db[j] (+)= sum_i dy[i,j]
  void (*bias_gradient)(const Tensor& dy, Write write, const Tensor& db, const Tensor& scratch);
  std::int64_t (*bias_gradient_scratch)(std::int64_t rows, std::int64_t columns);

  static MatmulOp reference();
  template <typename Target>
  static MatmulOp hand();
  template <typename Target>
  static MatmulOp vendor();
  static std::vector<Case> cases();
};

}  // namespace cucina
