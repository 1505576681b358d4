// sgd's hand-written kernels: the update is one map over the arena, and one thread counts the step.
#include "kernels/simt/map.h"
#include "kernels/simt/simt.h"
#include "optim/sgd/sgd.h"

namespace cucina {
namespace {

template <typename Real>
struct PlainElement {
  Real* parameters;
  const Real* gradients;
  const float* lr;
  Real weight_decay;

  __device__ void operator()(std::int64_t i) const {
    const Real direction = fma(weight_decay, parameters[i], gradients[i]);
    parameters[i] = fma(-static_cast<Real>(*lr), direction, parameters[i]);
  }
};

template <typename Real>
struct MomentumElement {
  Real* parameters;
  const Real* gradients;
  Real* momentum_buffer;
  const float* lr;
  const std::int32_t* step;
  Real weight_decay, momentum, one_minus_dampening;
  bool nesterov;

  __device__ void operator()(std::int64_t i) const {
    const Real gradient = fma(weight_decay, parameters[i], gradients[i]);
    // Computed at step 0 too, from whatever the buffer holds, as a branch would not vectorise.
    const Real mixed = fma(momentum, momentum_buffer[i], one_minus_dampening * gradient);
    const Real buffer = *step == 0 ? gradient : mixed;
    const Real direction = nesterov ? fma(momentum, buffer, gradient) : buffer;
    momentum_buffer[i] = buffer;
    parameters[i] = fma(-static_cast<Real>(*lr), direction, parameters[i]);
  }
};

// A launch of its own, after the update: its threads read the step, so none of them may change it.
__global__ void count_step_kernel(std::int32_t* step) { *step += 1; }

void run_step(const Tensor& parameters, const Tensor& gradients, const Tensor& momentum_buffer,
              const SgdState& state, const SgdParams& params) {
  for_real("sgd", parameters.dtype(), [&]<typename Real>() {
    const auto weight_decay = static_cast<Real>(params.weight_decay);
    if (params.momentum == 0) {
      simt::map("sgd.step", parameters.stream(), parameters.elements(),
                PlainElement<Real>{.parameters = parameters.data<Real>(),
                                   .gradients = gradients.data<Real>(),
                                   .lr = state.lr.data<float>(),
                                   .weight_decay = weight_decay});
      return;
    }
    simt::map("sgd.step", parameters.stream(), parameters.elements(),
              MomentumElement<Real>{.parameters = parameters.data<Real>(),
                                    .gradients = gradients.data<Real>(),
                                    .momentum_buffer = momentum_buffer.data<Real>(),
                                    .lr = state.lr.data<float>(),
                                    .step = state.step.data<std::int32_t>(),
                                    .weight_decay = weight_decay,
                                    .momentum = static_cast<Real>(params.momentum),
                                    .one_minus_dampening = static_cast<Real>(1 - params.dampening),
                                    .nesterov = params.nesterov});
  });
  simt::launch("sgd.count_step", count_step_kernel,
               {.grid = {1}, .block = {1}, .stream = parameters.stream()},
               state.step.data<std::int32_t>());
}

}  // namespace

template <typename Target>
SgdOp SgdOp::hand() {
  return {.dtypes = kReal, .step = run_step};
}
template SgdOp SgdOp::hand<simt::Target>();

}  // namespace cucina
