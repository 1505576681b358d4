// softmax and log_softmax in plain loops, in double whatever the dtype: the definition of right.
#include <algorithm>
#include <cmath>
#include <limits>

#include "kernels/softmax/softmax.h"

namespace cucina {
namespace {

// The logarithm of the sum of all e^x of a row, less its largest; NaN where there are no
// probabilities.
struct LogSum {
  double largest, rest;
};

template <typename Real>
LogSum log_sum(const Real* x, std::int64_t classes) {
  double largest = -std::numeric_limits<double>::infinity(), sum = 0;
  for (std::int64_t k = 0; k < classes; ++k) largest = std::max(largest, static_cast<double>(x[k]));
  for (std::int64_t k = 0; k < classes; ++k) sum += std::exp(x[k] - largest);
  return {largest, std::log(sum)};
}

void compute(const Tensor& x, const Tensor& y, bool log) {
  for_real("softmax", x.dtype(), [&]<typename Real>() {
    const std::int64_t rows = x.size(0), classes = x.size(1);
    for (std::int64_t row = 0; row < rows; ++row) {
      const Real* from = x.data<Real>() + row * classes;
      const LogSum sum = log_sum(from, classes);
      for (std::int64_t k = 0; k < classes; ++k) {
        const double value = from[k] - sum.largest - sum.rest;
        y.data<Real>()[row * classes + k] = static_cast<Real>(log ? value : std::exp(value));
      }
    }
  });
}

void differentiate(const Tensor& dy, const Tensor& y, Write write, const Tensor& dx, bool log) {
  for_real("softmax", dy.dtype(), [&]<typename Real>() {
    const std::int64_t rows = dy.size(0), classes = dy.size(1);
    for (std::int64_t row = 0; row < rows; ++row) {
      const Real* gradient = dy.data<Real>() + row * classes;
      const Real* result = y.data<Real>() + row * classes;
      double sum = 0;
      for (std::int64_t k = 0; k < classes; ++k) {
        sum += static_cast<double>(gradient[k]) * (log ? 1 : result[k]);
      }
      for (std::int64_t k = 0; k < classes; ++k) {
        const double value =
            log ? gradient[k] - std::exp(result[k]) * sum : result[k] * (gradient[k] - sum);
        Real& to = dx.data<Real>()[row * classes + k];
        to = static_cast<Real>(write == Write::accumulate ? to + value : value);
      }
    }
  });
}

}  // namespace

SoftmaxOp SoftmaxOp::reference() {
  return {.dtypes = kReal,
          .forward = [](const Tensor& x, const Tensor& y) { compute(x, y, false); },
          .backward = [](const Tensor& dy, const Tensor& y, Write write,
                         const Tensor& dx) { differentiate(dy, y, write, dx, false); },
          .log_forward = [](const Tensor& x, const Tensor& y) { compute(x, y, true); },
          .log_backward = [](const Tensor& dy, const Tensor& y, Write write,
                             const Tensor& dx) { differentiate(dy, y, write, dx, true); }};
}

}  // namespace cucina
