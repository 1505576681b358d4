// softmax_cross_entropy: the loss of a classifier, and which examples it got right.
#pragma once

#include <string_view>
#include <vector>

#include "core/tensor.h"
#include "kernels/common/case.h"
#include "kernels/common/reduction.h"

namespace cucina {

struct SoftmaxCrossEntropyParams {
  double label_smoothing = 0;  // the part of a target that is spread over all classes, in [0, 1]
  Reduction reduction = Reduction::mean;
};

struct SoftmaxCrossEntropy {
  Tensor loss;     // (): the mean or sum of losses; differentiable
  Tensor losses;   // (n): each example's; not differentiable
  Tensor correct;  // (n) i32: 1 where the largest logit, the first among equals, is the label's, or
                   // that of the largest target, the first among equals
};

// With p[n,k] = e^logits[n,k] / sum_j e^logits[n,j] and targets t, which for labels are 1 at the
// label and 0 elsewhere,
//   q[n,k]    = class_weights[k] ((1 - s) t[n,k] + s / classes), s = label_smoothing
//   losses[n] = -sum_k q[n,k] log p[n,k], in nats; 0 times anything is 0 here and in q
//   loss      = sum_n losses[n] / d, with d = 1 for Reduction::sum; else n, but for labels with
//               class_weights the sum of their labels' weights, as in PyTorch
// computed from logits[n,k] - max_k logits[n,k], so that no e^ overflows. One pass over the logits
// gives losses and correct, a second, when the graph is recorded, the gradient.
//   logits   (n, classes) f32, f64 or bf16, n > 0, classes > 0
//   targets  (n) i32, labels in [0, classes); or (n, classes), of logits' dtype but f32 beside
//            bf16, any numbers: rows that sum to 1 make it a mixture of labels
//   class_weights  (classes), of the same dtype as such targets; or undefined: all 1
//   returns  loss and losses in that dtype, too
//   gradient dlogits[n,k] = dloss (p[n,k] sum_j q[n,j] - q[n,k]) / d; none for targets and weights
//   NaN      a row with a NaN or +Inf logit, or -Inf only, has a NaN loss and gradient, correct 0;
//            weights of labels that sum to 0 make loss and gradient NaN; NaN or Inf among targets
//            and weights reaches the rows it belongs to
//   throws   Error when a shape or dtype is wrong, targets or class_weights require a gradient, a
//            param is out of range, n or classes is 0 (there is no mean), or, on the cpu, a label
//            is not a class (exit code 3). On cuda nobody waits for the device to look at the
//            labels: there such a row has a NaN loss and gradient, correct 0.
//   source   label smoothing: Szegedy et al. 2016, arXiv:1512.00567, section 7
SoftmaxCrossEntropy softmax_cross_entropy(const Tensor& logits, const Tensor& targets,
                                          const SoftmaxCrossEntropyParams& params = {},
                                          const Tensor& class_weights = {});

struct SoftmaxCrossEntropyInputs {
  Tensor logits, targets;
  Tensor class_weights;  // may be undefined
};

// What a backend provides.
struct SoftmaxCrossEntropyOp {
  static constexpr std::string_view kName = "softmax_cross_entropy";
  DTypes dtypes;
  // dlogits is the gradient of the loss; undefined when nobody wants it. `scratch` is one number,
  // of the dtype of the loss.
  void (*forward)(const SoftmaxCrossEntropyInputs& in, const SoftmaxCrossEntropyParams& params,
                  const Tensor& scratch, const SoftmaxCrossEntropy& result, const Tensor& dlogits);
  // dx = dy dlogits, with the one-element dy, of the dtype of the loss, read on the device.
  void (*backward)(const Tensor& dy, const Tensor& dlogits, Write write, const Tensor& dx);

  static SoftmaxCrossEntropyOp reference();
  template <typename Target>
  static SoftmaxCrossEntropyOp hand();
  // The libraries have softmax and logsoftmax, but neither picks the label, compares the argmax nor
  // averages: around them three of our own passes would remain, more than the one `hand` makes.
  template <typename Target>
  static SoftmaxCrossEntropyOp vendor() {
    return {};
  }
  static std::vector<Case> cases();
};

}  // namespace cucina
