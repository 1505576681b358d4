// The metrics in plain loops: the definition of right.
#include <cmath>

#include "kernels/metrics/metrics.h"

namespace cucina {
namespace {

void run_argmax(const Tensor& logits, const Tensor& answers) {
  for_real("metrics", logits.dtype(), [&]<typename Real>() {
    const std::int64_t n = logits.size(0), classes = logits.size(1);
    for (std::int64_t row = 0; row < n; ++row) {
      const Real* x = logits.data<Real>() + row * classes;
      std::int32_t largest = 0;
      for (std::int32_t k = 1; k < classes; ++k) {
        if (!std::isnan(x[largest]) && (x[k] > x[largest] || std::isnan(x[k]))) largest = k;
      }
      answers.data<std::int32_t>()[row] = largest;
    }
  });
}

void run_label_ranks(const Tensor& logits, const Tensor& labels, const Tensor& ranks) {
  for_real("metrics", logits.dtype(), [&]<typename Real>() {
    const std::int64_t n = logits.size(0), classes = logits.size(1);
    for (std::int64_t row = 0; row < n; ++row) {
      const Real* x = logits.data<Real>() + row * classes;
      const std::int32_t label = labels.data<std::int32_t>()[row];
      bool ordered = label >= 0 && label < classes;
      std::int64_t before = 0;
      for (std::int64_t k = 0; k < classes; ++k) {
        ordered = ordered && !std::isnan(x[k]);
        if (ordered && (x[k] > x[label] || (x[k] == x[label] && k < label))) ++before;
      }
      ranks.data<std::int32_t>()[row] = static_cast<std::int32_t>(ordered ? before : classes);
    }
  });
}

void run_count_below(const Tensor& ranks, std::int64_t k, const Tensor& count) {
  std::int32_t below = 0;
  for (std::int64_t i = 0; i < ranks.elements(); ++i) {
    if (ranks.data<std::int32_t>()[i] < k) ++below;
  }
  *count.data<std::int32_t>() = below;
}

void run_count_confusion(const Tensor& labels, const Tensor& predicted, const Tensor& counts) {
  const std::int64_t classes = counts.size(0);
  for (std::int64_t i = 0; i < labels.elements(); ++i) {
    const std::int32_t row = labels.data<std::int32_t>()[i];
    const std::int32_t column = predicted.data<std::int32_t>()[i];
    if (row < 0 || row >= classes || column < 0 || column >= classes) continue;
    ++counts.data<std::int32_t>()[row * classes + column];
  }
}

}  // namespace

MetricsOp MetricsOp::reference() {
  return {.dtypes = {kReal.bits | kI32.bits},
          .argmax = run_argmax,
          .label_ranks = run_label_ranks,
          .count_below = run_count_below,
          .count_confusion = run_count_confusion};
}

}  // namespace cucina
