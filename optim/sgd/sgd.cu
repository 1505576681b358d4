// sgd's hand-written kernels: the update is one map over the arena, and one thread counts the step.
#include "kernels/simt/map.h"
#include "kernels/simt/simt.h"
#include "optim/sgd/sgd.h"

namespace cucina {
namespace {

template <typename Real>
struct UpdateElement {
  Real* parameters;
  const Real* gradients;
  Real* momentum_buffer;  // null without momentum
  const float* lr;
  const std::int32_t* step;
  Real momentum, from_gradient, weight_decay;
  bool nesterov;

  __device__ void operator()(std::int64_t i) const {
    Real direction = fma(weight_decay, parameters[i], gradients[i]);
    if (momentum_buffer != nullptr) {
      const Real buffer =
          *step == 0 ? direction : fma(momentum, momentum_buffer[i], from_gradient * direction);
      momentum_buffer[i] = buffer;
      direction = nesterov ? fma(momentum, buffer, direction) : buffer;
    }
    parameters[i] = fma(-static_cast<Real>(*lr), direction, parameters[i]);
  }
};

// A launch of its own, after the update: its threads read the step, so none of them may change it.
__global__ void count_step_kernel(std::int32_t* step) { *step += 1; }

void run_step(const Tensor& parameters, const Tensor& gradients, const Tensor& momentum_buffer,
              const SgdState& state, const SgdParams& params) {
  for_real("sgd", parameters.dtype(), [&]<typename Real>() {
    const bool with_momentum = params.momentum != 0;
    simt::map("sgd.step", parameters.stream(), parameters.elements(),
              UpdateElement<Real>{
                  .parameters = parameters.data<Real>(),
                  .gradients = gradients.data<Real>(),
                  .momentum_buffer = with_momentum ? momentum_buffer.data<Real>() : nullptr,
                  .lr = state.lr.data<float>(),
                  .step = state.step.data<std::int32_t>(),
                  .momentum = static_cast<Real>(params.momentum),
                  .from_gradient = static_cast<Real>(1 - params.dampening),
                  .weight_decay = static_cast<Real>(params.weight_decay),
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
