// grad_norm in plain loops: the definition of right.
#include <algorithm>
#include <cmath>

#include "optim/grad_norm/grad_norm.h"

namespace cucina {
namespace {

template <typename Real>
double norm_of(const Tensor& gradients) {
  double sum = 0;
  for (std::int64_t i = 0; i < gradients.elements(); ++i) {
    const double value = gradients.data<Real>()[i];
    sum += value * value;
  }
  return std::sqrt(sum);
}

void run_norm(const Tensor& gradients, const Tensor& norm, const Tensor& /*scratch*/) {
  for_real("grad_norm", gradients.dtype(), [&]<typename Real>() {
    *norm.data<Real>() = static_cast<Real>(norm_of<Real>(gradients));
  });
}

void run_clip(const Tensor& gradients, double max_norm, const Tensor& norm,
              const Tensor& /*scratch*/) {
  for_real("grad_norm", gradients.dtype(), [&]<typename Real>() {
    const double before = norm_of<Real>(gradients);
    *norm.data<Real>() = static_cast<Real>(before);
    const double factor = max_norm / (before + 1e-6);
    for (std::int64_t i = 0; i < gradients.elements() && !(factor >= 1); ++i) {
      Real& gradient = gradients.data<Real>()[i];
      gradient = static_cast<Real>(gradient * factor);
    }
  });
}

void run_clip_value(const Tensor& gradients, double limit) {
  for_real("grad_norm", gradients.dtype(), [&]<typename Real>() {
    for (std::int64_t i = 0; i < gradients.elements(); ++i) {
      Real& gradient = gradients.data<Real>()[i];
      gradient = std::clamp(gradient, static_cast<Real>(-limit), static_cast<Real>(limit));
    }
  });
}

std::int64_t no_scratch(std::int64_t /*elements*/) { return 0; }

}  // namespace

GradNormOp GradNormOp::reference() {
  return {.dtypes = kReal,
          .norm = run_norm,
          .clip = run_clip,
          .clip_value = run_clip_value,
          .scratch = no_scratch};
}

}  // namespace cucina
