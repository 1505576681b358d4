// softmax_cross_entropy: the loss of a classifier, and which examples it got right.
#pragma once

#include <string_view>
#include <vector>

#include "core/tensor.h"
#include "kernels/common/case.h"

namespace cucina {

struct SoftmaxCrossEntropy {
  Tensor loss;     // (): the mean of losses; differentiable
  Tensor losses;   // (n): each example's; not differentiable
  Tensor correct;  // (n) i32: 1 where the largest logit, the first among equals, is the label's
};

// losses[n] = log(sum_k e^logits[n,k]) - logits[n, labels[n]], in nats, computed from
// logits[n,k] - max_k logits[n,k], so that no e^ overflows. One pass gives losses, correct and,
// when the graph is recorded, the gradient.
//   logits   (n, classes) f32 or f64, n > 0, classes > 0
//   labels   (n) i32, in [0, classes), same device
//   gradient dlogits[n,k] = dloss (softmax(logits[n])[k] - [k = labels[n]]) / n
//   NaN      a row with a NaN or +Inf logit, or -Inf only, has a NaN loss and gradient, correct 0
//   throws   Error when a shape or dtype is wrong, n or classes is 0 (there is no mean), or, on the
//            cpu, a label is not a class (exit code 3). On cuda nobody waits for the device to look
//            at the labels: there such a row has a NaN loss and gradient, correct 0.
SoftmaxCrossEntropy softmax_cross_entropy(const Tensor& logits, const Tensor& labels);

// What a backend provides.
struct SoftmaxCrossEntropyOp {
  static constexpr std::string_view kName = "softmax_cross_entropy";
  DTypes dtypes;
  // dlogits is the gradient of the loss; undefined when nobody wants it.
  void (*forward)(const Tensor& logits, const Tensor& labels, const SoftmaxCrossEntropy& result,
                  const Tensor& dlogits);
  // dx = dy dlogits, with the one-element dy read on the device.
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
