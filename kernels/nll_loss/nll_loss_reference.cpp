// nll_loss in plain loops, in double whatever the dtype: the definition of right.
#include <limits>

#include "kernels/nll_loss/nll_loss.h"

namespace cucina {
namespace {

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

template <typename Real>
double weight(const NllLossInputs& in, std::int64_t row, std::int64_t classes) {
  const std::int64_t label = in.labels.data<std::int32_t>()[row];
  if (label < 0 || label >= classes) return kNan;
  return in.class_weights.defined() ? in.class_weights.data<Real>()[label] : 1;
}

void run_forward(const Tensor& log_probs, const NllLossInputs& in, Reduction reduction,
                 const Tensor& divisor, const Tensor& loss) {
  for_real("nll_loss", log_probs.dtype(), [&]<typename Real>() {
    const std::int64_t n = log_probs.size(0), classes = log_probs.size(1);
    double weights = 0, sum = 0;
    for (std::int64_t row = 0; row < n; ++row) {
      const double own = weight<Real>(in, row, classes);
      const std::int64_t label = own != own ? 0 : in.labels.data<std::int32_t>()[row];
      weights += own;
      sum -= own * log_probs.data<Real>()[row * classes + label];
    }
    const double d = reduction == Reduction::mean ? weights : 1;
    *divisor.data<Real>() = static_cast<Real>(d);
    *loss.data<Real>() = static_cast<Real>(sum / d);
  });
}

void run_backward(const Tensor& dy, const NllLossInputs& in, const Tensor& divisor, Write write,
                  const Tensor& dx) {
  for_real("nll_loss", dx.dtype(), [&]<typename Real>() {
    const std::int64_t n = dx.size(0), classes = dx.size(1);
    for (std::int64_t row = 0; row < n; ++row) {
      const double own = weight<Real>(in, row, classes);
      for (std::int64_t k = 0; k < classes; ++k) {
        const bool here = own != own || k == in.labels.data<std::int32_t>()[row];
        const double gradient = here ? -*dy.data<Real>() * own / *divisor.data<Real>() : 0;
        Real& to = dx.data<Real>()[row * classes + k];
        to = static_cast<Real>(write == Write::accumulate ? to + gradient : gradient);
      }
    }
  });
}

}  // namespace

NllLossOp NllLossOp::reference() {
  return {.dtypes = kReal, .forward = run_forward, .backward = run_backward};
}

}  // namespace cucina
