// ema in plain loops: the definition of right.
#include <algorithm>

#include "optim/ema/ema.h"

namespace cucina {
namespace {

void run_step(const Tensor& average, const Tensor& parameters, const Tensor& decay,
              const Tensor& step) {
  double d = *decay.data<float>();
  if (step.defined()) {
    const double t = *step.data<std::int32_t>();
    d = std::min(d, (1 + t) / (10 + t));
  }
  for_real("ema", parameters.dtype(), [&]<typename Real>() {
    for (std::int64_t i = 0; i < parameters.elements(); ++i) {
      Real& mean = average.data<Real>()[i];
      mean = static_cast<Real>(mean + (1 - d) * (parameters.data<Real>()[i] - mean));
    }
  });
}

}  // namespace

EmaOp EmaOp::reference() { return {.dtypes = kReal, .step = run_step}; }

}  // namespace cucina
