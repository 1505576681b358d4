// batch_norm: normalisation of every channel over the batch, then a learned scale and shift; and on
// request a residual and relu.
#pragma once

#include <string_view>
#include <vector>

#include "core/tensor.h"
#include "kernels/common/case.h"

namespace cucina {

struct BatchNormParams {
  float momentum = 0.1f;  // the weight of this batch in the running statistics, in [0, 1]
  double eps = 1e-5;      // added to the variance; not negative
  bool training = true;
  bool relu = false;  // apply it to the result
};

// y = gamma (x - mean) / sqrt(var + eps) + beta, channel by channel; then y += residual, if given;
// then y = max(y, 0), if params.relu. While training, mean and var are this batch's,
// var = E[(x - mean)^2], and
//   running_mean = (1 - momentum) running_mean + momentum mean
//   running_var  = (1 - momentum) running_var  + momentum var m / (m - 1)
// in place, with m the values per channel; else mean and var are the running ones, unchanged.
// While training a NaN or Inf makes its channel NaN: y of the batch, and from then on the running
// statistics; relu lets NaN through.
//   x            (n, h, w, c) or (n, c), f32, f64 or bf16
//   gamma, beta, running_mean, running_var   (c), same device and dtype, but f32 beside bf16
//   residual     as x, or undefined
//   returns      as x; an empty batch leaves the running statistics as they are
//   gradient     dx, dgamma, dbeta, dresidual; while training dx passes through mean and var. relu
//                passes dy where its result is positive. Sums go in a fixed order with `hand`. None
//                for the running statistics.
//   throws       Error when shapes or dtypes disagree, a param is out of range, or while training
//                a channel has one value only: it has no variance
//   source       Ioffe & Szegedy 2015, arXiv:1502.03167, algorithms 1 and 2
Tensor batch_norm(const Tensor& x, const Tensor& gamma, const Tensor& beta,
                  const Tensor& running_mean, const Tensor& running_var,
                  const BatchNormParams& params = {}, const Tensor& residual = {});

struct BatchNormInputs {
  Tensor x, gamma, beta, running_mean, running_var;
  Tensor residual;  // may be undefined
};

// What forward leaves for backward.
struct BatchNormSaved {
  Tensor x, gamma, beta;
  Tensor mean;    // while training the batch's, else the running one
  Tensor spread;  // while training the batch's 1 / sqrt(var + eps), else the running variance
  Tensor y;       // with relu; else undefined
  bool residual = false;  // was one added?
};

// Where a backward delivers. An undefined tensor is a gradient nobody wants.
struct BatchNormGradients {
  Tensor dx;
  Write dx_write = Write::overwrite;
  Tensor dgamma;
  Write dgamma_write = Write::overwrite;
  Tensor dbeta;
  Write dbeta_write = Write::overwrite;
  Tensor dresidual;
  Write dresidual_write = Write::overwrite;
};

// What a backend provides. `scratch` is BatchNormOp::scratch(x), its elements whatever they were.
struct BatchNormOp {
  static constexpr std::string_view kName = "batch_norm";
  static bool hand_first_on_gpu(DType) { return true; }
  DTypes dtypes;
  // Writes y, the batch's mean and 1 / sqrt(var + eps), and updates the running statistics. An
  // empty batch has mean and var 0.
  void (*forward_train)(const BatchNormInputs& in, const BatchNormParams& params,
                        const Tensor& scratch, const Tensor& y, const Tensor& mean,
                        const Tensor& inv_std);
  void (*forward_eval)(const BatchNormInputs& in, const BatchNormParams& params, const Tensor& y);
  void (*backward_train)(const Tensor& dy, const BatchNormSaved& saved,
                         const BatchNormParams& params, const Tensor& scratch,
                         const BatchNormGradients& to);
  void (*backward_eval)(const Tensor& dy, const BatchNormSaved& saved,
                        const BatchNormParams& params, const Tensor& scratch,
                        const BatchNormGradients& to);

  static BatchNormOp reference();
  template <typename Target>
  static BatchNormOp hand();
  template <typename Target>
  static BatchNormOp vendor();
  // Memory for partial sums, enough for every entry.
  static Tensor scratch(const Tensor& x);
  static std::vector<Case> cases();
  static CaseSpace space();
};

}  // namespace cucina
