// matmul and linear: products of matrices.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "core/tensor.h"
#include "kernels/common/activation.h"
#include "kernels/common/case.h"
#include "kernels/common/product_sizes.h"

namespace cucina {

struct MatmulParams {
  bool transpose_a = false;
  bool transpose_b = false;
  Activation activation = Activation::none;
};

// The product of two matrices, or of each two matrices of a batch,
// c[i,j] = activation(bias[j] + sum_l a'[i,l] b'[l,j]), where a' is a or its transpose.
//   a        (..., m, k), with transpose_a (..., k, m); f32, f64 or bf16
//   b        (..., k, n), with transpose_b (..., n, k); same dtype and device; the sizes before the
//            last two as a's, or none at all: then one b serves all of a, which is not transposed
//   bias     (n) or undefined
//   returns  (..., m, n); where k is 0, sums are 0
//   gradient with dz = dc * activation'(...): da' = dz b'^T, db' = a'^T dz, dbias = the sums of
//            dz's columns. What `hand` sums it sums in an order that depends on sizes alone: equal
//            bits from run to run, and for f32 and f64 from machine to machine
//   formats  f32 is exact, or multiplied as tf32 where float32_precision() says so; bf16 is added
//            up in f32 and rounded once; tf32 and bf16 run on tensor cores
//   throws   Error when a rank is below 2, or sizes, dtypes or devices do not go together
//   source   activations: kernels/common/activation.h
Tensor matmul(const Tensor& a, const Tensor& b, const MatmulParams& params = {},
              const Tensor& bias = {});

// The fully connected layer, y[i,j] = activation(b[j] + sum_l x[i,l] w[j,l]).
//   x        (n, in) f32, f64 or bf16
//   w        (out, in) same dtype and device;   b (out) or undefined
//   returns  (n, out)
//   gradient dx = dz w, dw = dz^T x, db = the column sums of dz, dz as above
//   throws   Error when a rank is not 2, the inner sizes differ, or b has not `out` elements
Tensor linear(const Tensor& x, const Tensor& w, const Tensor& b,
              Activation activation = Activation::none);

// What becomes of a product on its way out.
struct MatmulEpilogue {
  Tensor bias = {};    // undefined where there is none
  Tensor before = {};  // as c; gets what the activation is applied to; undefined: not wanted
};

// Of c (..., m, n), for a as `params` says.
inline ProductSizes product_sizes(const Tensor& a, const MatmulParams& params, const Tensor& c) {
  const std::int64_t m = c.size(-2), n = c.size(-1);
  std::int64_t batch = 1;
  for (int i = 0; i < c.shape().rank() - 2; ++i) batch *= c.size(i);
  return {.batch = batch, .m = m, .n = n, .k = a.size(params.transpose_a ? -2 : -1)};
}

// For backends whose entries want none.
inline std::int64_t no_multiply_scratch(const ProductSizes&) { return 0; }
inline std::int64_t no_bias_gradient_scratch(std::int64_t, std::int64_t) { return 0; }

// What a backend provides. Scratch is memory of sums (f32 for bf16) that lives for the call: the
// front door allocates as many elements as the entry's ..._scratch says (and passes an undefined
// Tensor for 0).
struct MatmulOp {
  static constexpr std::string_view kName = "matmul";
  static constexpr bool kTensorCores = true;
  DTypes dtypes;
  // c (+)= activation(a' b' + bias). With Write::accumulate, and where k is 0, there is no
  // activation.
  void (*multiply)(const Tensor& a, const Tensor& b, const MatmulParams& params,
                   const MatmulEpilogue& epilogue, Write write, const Tensor& c,
                   const Tensor& scratch);
  std::int64_t (*multiply_scratch)(const ProductSizes& sizes);
  // Does multiply() apply this activation, and write `before` with it?
  bool (*fuses)(Activation activation, bool before, DType dtype);
  // y = activation(x), where multiply() does not.
  void (*activate)(const Tensor& x, Activation activation, const Tensor& y);
  // dz = dy * activation', given y where differentiable_by_output() says so, else x.
  void (*activation_gradient)(const Tensor& dy, const Tensor& saved, Activation activation,
                              const Tensor& dz);
  // db[j] (+)= sum_i dy[i,j], for dy (rows, columns)
  void (*bias_gradient)(const Tensor& dy, Write write, const Tensor& db, const Tensor& scratch);
  std::int64_t (*bias_gradient_scratch)(std::int64_t rows, std::int64_t columns);

  static MatmulOp reference();
  template <typename Target>
  static MatmulOp hand();
  template <typename Target>
  static MatmulOp vendor();
  static std::vector<Case> cases();
  static CaseSpace space();
};

// hand's multiply() for bf16, and for f32 as tf32 (matmul_tensor_core.cu).
template <typename Target>
struct MatmulTensorCores {
  static void multiply(const Tensor& a, const Tensor& b, const MatmulParams& params,
                       const MatmulEpilogue& epilogue, Write write, const Tensor& c,
                       const Tensor& scratch);
};

}  // namespace cucina
