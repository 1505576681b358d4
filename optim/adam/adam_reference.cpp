// adam in plain loops: the definition of right.
#include <cmath>

#include "optim/adam/adam.h"

namespace cucina {
namespace {

template <typename Real>
void step(const Tensor& parameters, const Tensor& gradients, const Tensor& exp_avg,
          const Tensor& exp_avg_sq, const StepState& state, const AdamParams& params,
          const Tensor& bf16_copy) {
  const double lr = *state.lr.data<float>();
  const std::int32_t t = *state.step.data<std::int32_t>() += 1;
  const double correction1 = 1 - std::pow(params.beta1, t);
  const double correction2 = 1 - std::pow(params.beta2, t);
  for (std::int64_t i = 0; i < parameters.elements(); ++i) {
    Real& parameter = parameters.data<Real>()[i];
    Real& m = exp_avg.data<Real>()[i];
    Real& v = exp_avg_sq.data<Real>()[i];
    double p = parameter;
    double g = gradients.data<Real>()[i];
    const double decay = i < params.decayed ? params.weight_decay : 0;
    if (params.decoupled) {
      p *= 1 - lr * decay;
    } else {
      g += decay * p;
    }
    m = static_cast<Real>(params.beta1 * m + (1 - params.beta1) * g);
    v = static_cast<Real>(params.beta2 * v + (1 - params.beta2) * g * g);
    const double root = std::sqrt(static_cast<double>(v)) / std::sqrt(correction2);
    parameter = static_cast<Real>(p - lr / correction1 * m / (root + params.eps));
    if (bf16_copy.defined()) {
      bf16_copy.data<bfloat16>()[i] = bfloat16(static_cast<float>(parameter));
    }
  }
}

void run_step(const Tensor& parameters, const Tensor& gradients, const Tensor& exp_avg,
              const Tensor& exp_avg_sq, const StepState& state, const AdamParams& params,
              const Tensor& bf16_copy) {
  for_real("adam", parameters.dtype(), [&]<typename Real>() {
    step<Real>(parameters, gradients, exp_avg, exp_avg_sq, state, params, bf16_copy);
  });
}

}  // namespace

AdamOp AdamOp::reference() { return {.dtypes = kReal, .step = run_step}; }

}  // namespace cucina
