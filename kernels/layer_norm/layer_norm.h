// layer_norm: normalisation of every row, which is all of an example's last dimensions, then a
// learned scale and shift.
#pragma once

#include <string_view>
#include <vector>

#include "core/tensor.h"
#include "kernels/common/case.h"

namespace cucina {

// y = gamma (x - mean) / sqrt(var + eps) + beta, with the mean and var = E[(x - mean)^2] of the
// last dimensions, `normalized` of them, for each index of the others. A NaN or Inf makes its row
// NaN. A mean far larger than the deviation costs no digits with `hand`; oneDNN sums x itself, in
// f32, and loses some.
//   x            (..., normalized) f32, f64 or bf16; may have no rows
//   normalized   x's last dimensions; at least one, none of them 0
//   gamma, beta  of that shape and x's dtype, but f32 beside bf16; or undefined: 1 and 0
//   returns      as x
//   gradient     dx, dgamma, dbeta; dx passes through mean and var. Sums go in a fixed order with
//                `hand`.
//   throws       Error when shapes or dtypes disagree or eps is not finite or negative
//   source       Ba, Kiros & Hinton 2016, arXiv:1607.06450, equation 4; PyTorch's normalized_shape
Tensor layer_norm(const Tensor& x, const Shape& normalized, const Tensor& gamma = {},
                  const Tensor& beta = {}, double eps = 1e-5);

// What forward leaves for backward, rows being what is normalised together.
struct LayerNormSaved {
  Tensor x;
  Tensor gamma;          // may be undefined
  Tensor mean, inv_std;  // (rows); inv_std = 1 / sqrt(var + eps)
};

// What a backend provides; gamma is (columns) or undefined, and x is seen as (rows, columns).
struct LayerNormOp {
  static constexpr std::string_view kName = "layer_norm";
  DTypes dtypes;
  void (*forward)(const Tensor& x, const Tensor& gamma, const Tensor& beta, double eps,
                  const Tensor& y, const Tensor& mean, const Tensor& inv_std);
  void (*backward_input)(const Tensor& dy, const LayerNormSaved& saved, Write write,
                         const Tensor& dx);
  // An undefined gradient is one nobody wants. `scratch` is LayerNormOp::scratch(x), its elements
  // whatever they were.
  void (*backward_affine)(const Tensor& dy, const LayerNormSaved& saved, const Tensor& scratch,
                          Write dgamma_write, const Tensor& dgamma, Write dbeta_write,
                          const Tensor& dbeta);

  static LayerNormOp reference();
  template <typename Target>
  static LayerNormOp hand();
  template <typename Target>
  static LayerNormOp vendor();
  // Memory for partial sums of x (rows, columns).
  static Tensor scratch(const Tensor& x);
  static std::vector<Case> cases();
  static CaseSpace space();
};

// cuDNN's legacy interface has no such op.
template <>
inline LayerNormOp LayerNormOp::vendor<Gpu>() {
  return {};
}

}  // namespace cucina
