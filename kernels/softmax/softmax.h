// softmax and log_softmax: the probabilities behind rows of logits, and their logarithms.
#pragma once

#include <string_view>
#include <vector>

#include "core/tensor.h"
#include "kernels/common/case.h"

namespace cucina {

// y_k = e^x_k / sum_j e^x_j along the last dimension, computed from x_k - max_j x_j, so that no e^
// overflows. A row with a NaN or +Inf, or of -Inf only, is NaN.
//   x        (..., classes) f32, f64 or bf16; classes > 0, but there may be no rows
//   returns  as x
//   gradient dx_k = y_k (dy_k - sum_j dy_j y_j)
//   throws   Error when x has no dimension or classes is 0
//   source   Milakov & Gimelshein 2018, arXiv:1805.02867
Tensor softmax(const Tensor& x);

// y_k = x_k - log sum_j e^x_j, in nats; else as softmax. An x_k of -Inf gives -Inf.
//   gradient dx_k = dy_k - e^y_k sum_j dy_j
Tensor log_softmax(const Tensor& x);

// What a backend provides, for x, y, dy and dx (rows, classes).
struct SoftmaxOp {
  static constexpr std::string_view kName = "softmax";
  DTypes dtypes;
  void (*forward)(const Tensor& x, const Tensor& y);
  void (*backward)(const Tensor& dy, const Tensor& y, Write write, const Tensor& dx);
  void (*log_forward)(const Tensor& x, const Tensor& y);
  void (*log_backward)(const Tensor& dy, const Tensor& y, Write write, const Tensor& dx);

  static SoftmaxOp reference();
  template <typename Target>
  static SoftmaxOp hand();
  template <typename Target>
  static SoftmaxOp vendor();
  static std::vector<Case> cases();
  static CaseSpace space();
};

}  // namespace cucina
