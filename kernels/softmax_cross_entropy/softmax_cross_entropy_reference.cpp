// softmax_cross_entropy in plain loops, in double whatever the dtype: the definition of right.
#include <cmath>
#include <limits>

#include "kernels/softmax_cross_entropy/softmax_cross_entropy.h"

namespace cucina {
namespace {

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

// The targets of a row, one per class; labels that are no class have none.
template <typename Real>
struct Targets {
  const SoftmaxCrossEntropyInputs& in;
  double smoothing;
  std::int64_t row, classes;

  bool labels() const { return in.targets.dtype() == DType::i32; }
  std::int64_t label() const { return in.targets.data<std::int32_t>()[row]; }
  bool valid() const { return !labels() || (label() >= 0 && label() < classes); }
  double plain(std::int64_t k) const {
    if (labels()) return k == label() ? 1 : 0;
    return in.targets.data<Real>()[row * classes + k];
  }
  double weight(std::int64_t k) const {
    return in.class_weights.defined() ? in.class_weights.data<Real>()[k] : 1;
  }
  // The target that the loss is taken with.
  double at(std::int64_t k) const {
    const double smooth = (1 - smoothing) * plain(k) + smoothing / static_cast<double>(classes);
    return smooth == 0 ? 0 : weight(k) * smooth;
  }
  std::int64_t answer() const {
    if (labels()) return label();
    std::int64_t largest = 0;
    for (std::int64_t k = 0; k < classes; ++k) {
      if (plain(k) > plain(largest) || std::isnan(plain(largest))) largest = k;
    }
    return largest;
  }
};

template <typename Real>
void forward(const SoftmaxCrossEntropyInputs& in, const SoftmaxCrossEntropyParams& params,
             const SoftmaxCrossEntropy& result, const Tensor& dlogits) {
  const std::int64_t n = in.logits.size(0), classes = in.logits.size(1);
  Targets<Real> targets{in, params.label_smoothing, 0, classes};
  double divisor = 1;
  if (params.reduction == Reduction::mean) {
    divisor = static_cast<double>(n);
    if (targets.labels() && in.class_weights.defined()) {
      divisor = 0;
      for (; targets.row < n; ++targets.row) {
        divisor += targets.valid() ? targets.weight(targets.label()) : kNan;
      }
    }
  }
  double total = 0;
  for (std::int64_t row = 0; row < n; ++row) {
    targets.row = row;
    const Real* x = in.logits.data<Real>() + row * classes;
    std::int64_t largest = 0;
    double sum = 0, all_targets = 0, loss = 0;
    for (std::int64_t k = 0; k < classes; ++k) {
      if (x[k] > x[largest] || std::isnan(x[largest])) largest = k;
    }
    for (std::int64_t k = 0; k < classes; ++k) {
      sum += std::exp(static_cast<double>(x[k]) - x[largest]);
      all_targets += targets.at(k);
    }
    for (std::int64_t k = 0; k < classes; ++k) {
      const double target = targets.at(k);
      if (target != 0) loss += target * (std::log(sum) - (static_cast<double>(x[k]) - x[largest]));
    }
    if (!targets.valid() || std::isnan(sum)) loss = kNan;
    total += loss;
    result.losses.data<Real>()[row] = static_cast<Real>(loss);
    result.correct.data<std::int32_t>()[row] =
        largest == targets.answer() && !std::isnan(sum) ? 1 : 0;
    if (!dlogits.defined()) continue;
    for (std::int64_t k = 0; k < classes; ++k) {
      const double softmax = std::exp(static_cast<double>(x[k]) - x[largest]) / sum;
      const double gradient = (softmax * all_targets - targets.at(k)) / divisor;
      dlogits.data<Real>()[row * classes + k] =
          static_cast<Real>(targets.valid() ? gradient : kNan);
    }
  }
  *result.loss.data<Real>() = static_cast<Real>(total / divisor);
}

void run_forward(const SoftmaxCrossEntropyInputs& in, const SoftmaxCrossEntropyParams& params,
                 const Tensor&, const SoftmaxCrossEntropy& result, const Tensor& dlogits) {
  for_real("softmax_cross_entropy", in.logits.dtype(),
           [&]<typename Real>() { forward<Real>(in, params, result, dlogits); });
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
