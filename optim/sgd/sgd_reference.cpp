// sgd in plain loops: the definition of right.
#include "optim/sgd/sgd.h"

namespace cucina {
namespace {

template <typename Real>
void step(const Tensor& parameters, const Tensor& gradients, const Tensor& momentum_buffer,
          const StepState& state, const SgdParams& params, const Tensor& bf16_copy) {
  const double lr = *state.lr.data<float>();
  std::int32_t& steps = *state.step.data<std::int32_t>();
  for (std::int64_t i = 0; i < parameters.elements(); ++i) {
    Real& parameter = parameters.data<Real>()[i];
    double g = gradients.data<Real>()[i];
    if (i < params.decayed) g += params.weight_decay * parameter;
    if (params.momentum != 0) {
      Real& buffer = momentum_buffer.data<Real>()[i];
      const double b = steps == 0 ? g : params.momentum * buffer + (1 - params.dampening) * g;
      buffer = static_cast<Real>(b);
      g = params.nesterov ? g + params.momentum * b : b;
    }
    parameter = static_cast<Real>(parameter - lr * g);
    if (bf16_copy.defined()) {
      bf16_copy.data<bfloat16>()[i] = bfloat16(static_cast<float>(parameter));
    }
  }
  ++steps;
}

void run_step(const Tensor& parameters, const Tensor& gradients, const Tensor& momentum_buffer,
              const StepState& state, const SgdParams& params, const Tensor& bf16_copy) {
  for_real("sgd", parameters.dtype(), [&]<typename Real>() {
    step<Real>(parameters, gradients, momentum_buffer, state, params, bf16_copy);
  });
}

}  // namespace

SgdOp SgdOp::reference() { return {.dtypes = kReal, .step = run_step}; }

}  // namespace cucina
