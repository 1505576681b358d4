// nll_loss: the negative log-likelihood of labels, given the logarithms of probabilities.
#pragma once

#include <string_view>
#include <vector>

#include "core/tensor.h"
#include "kernels/common/case.h"
#include "kernels/common/reduction.h"

namespace cucina {

// -sum_n w[labels[n]] log_probs[n, labels[n]] / d, with d = 1 for Reduction::sum and else
// sum_n w[labels[n]], which without class_weights is n. After log_softmax it is
// softmax_cross_entropy, which does both in one pass.
//   log_probs (n, classes) f32, f64 or bf16, n > 0, classes > 0
//   labels   (n) i32, in [0, classes), same device
//   class_weights  w: (classes), of log_probs' dtype but f32 beside bf16; or undefined: all 1
//   returns  (), of the dtype of such weights; only the labels' log_probs count: a NaN elsewhere
//            changes nothing; weights that sum to 0 make it and the gradient NaN
//   gradient dlog_probs[n,k] = -dloss w[k] / d where k = labels[n], else 0; none for class_weights
//   throws   Error when a shape or dtype is wrong, n or classes is 0, class_weights requires a
//            gradient or, on the cpu, a label is not a class (exit code 3); on cuda, where nobody
//            waits to look, the loss is then NaN, and so is its row of the gradient
Tensor nll_loss(const Tensor& log_probs, const Tensor& labels,
                Reduction reduction = Reduction::mean, const Tensor& class_weights = {});

struct NllLossInputs {
  Tensor labels;
  Tensor class_weights;  // may be undefined
};

// What a backend provides.
struct NllLossOp {
  static constexpr std::string_view kName = "nll_loss";
  DTypes dtypes;
  // `divisor` is (1), of the dtype of the loss: d, which backward reads.
  void (*forward)(const Tensor& log_probs, const NllLossInputs& in, Reduction reduction,
                  const Tensor& divisor, const Tensor& loss);
  void (*backward)(const Tensor& dy, const NllLossInputs& in, const Tensor& divisor, Write write,
                   const Tensor& dx);

  static NllLossOp reference();
  template <typename Target>
  static NllLossOp hand();
  // The libraries have no such op.
  template <typename Target>
  static NllLossOp vendor() {
    return {};
  }
  static std::vector<Case> cases();
};

}  // namespace cucina
