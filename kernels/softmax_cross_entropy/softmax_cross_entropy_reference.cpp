// softmax_cross_entropy in plain loops, in double whatever the dtype: the definition of right.
#include <cmath>
#include <limits>

#include "kernels/softmax_cross_entropy/softmax_cross_entropy.h"

namespace cucina {
namespace {

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

template <typename Real>
void forward(const Tensor& logits, const Tensor& labels, const SoftmaxCrossEntropy& result,
             const Tensor& dlogits) {
  const std::int64_t n = logits.size(0), classes = logits.size(1);
  double total = 0;
  for (std::int64_t row = 0; row < n; ++row) {
    const Real* x = logits.data<Real>() + row * classes;
    const std::int64_t label = labels.data<std::int32_t>()[row];
    const bool valid = label >= 0 && label < classes;
    std::int64_t largest = 0;
    bool has_nan = false;
    for (std::int64_t k = 0; k < classes; ++k) {
      if (x[k] > x[largest]) largest = k;
      has_nan = has_nan || std::isnan(x[k]);
    }
    double sum = 0;
    for (std::int64_t k = 0; k < classes; ++k) {
      sum += std::exp(static_cast<double>(x[k]) - x[largest]);
    }
    const double loss =
        has_nan || !valid ? kNan : std::log(sum) - (static_cast<double>(x[label]) - x[largest]);
    total += loss;
    result.losses.data<Real>()[row] = static_cast<Real>(loss);
    result.correct.data<std::int32_t>()[row] = largest == label && !std::isnan(sum) ? 1 : 0;
    if (!dlogits.defined()) continue;
    for (std::int64_t k = 0; k < classes; ++k) {
      const double softmax = std::exp(static_cast<double>(x[k]) - x[largest]) / sum;
      const double gradient = (softmax - (k == label ? 1 : 0)) / static_cast<double>(n);
      dlogits.data<Real>()[row * classes + k] = static_cast<Real>(valid ? gradient : kNan);
    }
  }
  *result.loss.data<Real>() = static_cast<Real>(total / static_cast<double>(n));
}

void run_forward(const Tensor& logits, const Tensor& labels, const SoftmaxCrossEntropy& result,
                 const Tensor& dlogits) {
  for_real("softmax_cross_entropy", logits.dtype(),
           [&]<typename Real>() { forward<Real>(logits, labels, result, dlogits); });
}

void run_backward(const Tensor& dy, const Tensor& dlogits, Write write, const Tensor& dx) {
  for_real("softmax_cross_entropy", dy.dtype(), [&]<typename Real>() {
    for (std::int64_t i = 0; i < dx.elements(); ++i) {
      Real& to = dx.data<Real>()[i];
      const Real gradient = *dy.data<Real>() * dlogits.data<Real>()[i];
      to = write == Write::accumulate ? to + gradient : gradient;
    }
  });
}

}  // namespace

SoftmaxCrossEntropyOp SoftmaxCrossEntropyOp::reference() {
  return {.dtypes = kReal, .forward = run_forward, .backward = run_backward};
}

}  // namespace cucina
