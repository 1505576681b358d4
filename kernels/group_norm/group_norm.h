// group_norm: normalisation of groups of channels in every image, then a learned scale and shift.
#pragma once

#include <string_view>
#include <vector>

#include "core/tensor.h"
#include "kernels/common/case.h"

namespace cucina {

struct GroupNormParams {
  std::int64_t groups = 1;
  double eps = 1e-5;  // added to the variance; finite, not negative
};

// y = gamma (x - mean) / sqrt(var + eps) + beta, with the mean and var = E[(x - mean)^2] of each
// example's groups of c / groups adjacent channels. A NaN or Inf makes its group in its example
// NaN; one in gamma makes dx of its groups NaN or Inf.
//   x            (n, h, w, c) or (n, c), f32, f64 or bf16; n may be 0
//   gamma, beta  (c), same device and dtype, but f32 beside bf16; or undefined: 1 and 0
//   returns      as x
//   gradient     dx, dgamma, dbeta; dx passes through mean and var. Sums go in a fixed order.
//   throws       Error when shapes or dtypes disagree, x's examples are empty, groups does not
//                divide c, or eps is out of range
//   source       Wu & He 2018, arXiv:1803.08494, equations 1 to 6
Tensor group_norm(const Tensor& x, const Tensor& gamma, const Tensor& beta,
                  const GroupNormParams& params);

// What forward leaves for backward.
struct GroupNormSaved {
  Tensor x;
  Tensor gamma;          // may be undefined
  Tensor mean, inv_std;  // (n, groups); inv_std = 1 / sqrt(var + eps)
};

// Where backward delivers. An undefined tensor is a gradient nobody wants.
struct GroupNormGradients {
  Tensor dx;
  Write dx_write = Write::overwrite;
  Tensor dgamma;
  Write dgamma_write = Write::overwrite;
  Tensor dbeta;
  Write dbeta_write = Write::overwrite;
};

// What a backend provides. `scratch` is GroupNormOp::scratch(x, groups), its elements whatever they
// were.
struct GroupNormOp {
  static constexpr std::string_view kName = "group_norm";
  DTypes dtypes;
  void (*forward)(const Tensor& x, const Tensor& gamma, const Tensor& beta,
                  const GroupNormParams& params, const Tensor& scratch, const Tensor& y,
                  const Tensor& mean, const Tensor& inv_std);
  void (*backward)(const Tensor& dy, const GroupNormSaved& saved, const Tensor& scratch,
                   const GroupNormGradients& to);

  static GroupNormOp reference();
  template <typename Target>
  static GroupNormOp hand();
  // oneDNN has it from 3.3 on, cuDNN's legacy interface not at all.
  template <typename Target>
  static GroupNormOp vendor() {
    return {};
  }
  // Memory for partial sums, enough for both entries.
  static Tensor scratch(const Tensor& x, std::int64_t groups);
  static std::vector<Case> cases();
  static CaseSpace space();
};

}  // namespace cucina
