// adam's hand-written kernels: one thread prepares the step, then one map updates the arena.
#include "kernels/simt/map.h"
#include "kernels/simt/simt.h"
#include "optim/adam/adam.h"

namespace cucina {
namespace {

// What is the same for all elements of a step; AdamOp::kScratch numbers.
template <typename Real>
struct StepScalars {
  Real step_size;        // lr / (1 - beta1^t)
  Real root_correction;  // sqrt(1 - beta2^t)
  Real keep;             // 1 - lr weight_decay when decoupled, else 1
};
static_assert(sizeof(StepScalars<float>) == AdamOp::kScratch * sizeof(float));
static_assert(sizeof(StepScalars<double>) == AdamOp::kScratch * sizeof(double));

// base^exponent by repeated squaring: multiplications only, so the same bits on every machine.
__device__ double power(double base, std::int32_t exponent) {
  double result = 1;
  for (; exponent > 0; exponent /= 2) {
    if (exponent % 2 == 1) result *= base;
    base *= base;
  }
  return result;
}

// A launch of its own, before the update: so the step is counted once, with nobody reading it, and
// the powers are computed once and in double.
template <typename Real>
__global__ void begin_step_kernel(const float* lr, std::int32_t* step, double beta1, double beta2,
                                  double decoupled_decay, StepScalars<Real>* scalars) {
  const std::int32_t t = *step + 1;
  *step = t;
  const double rate = *lr;
  *scalars = {.step_size = static_cast<Real>(rate / (1 - power(beta1, t))),
              .root_correction = static_cast<Real>(sqrt(1 - power(beta2, t))),
              .keep = static_cast<Real>(1 - rate * decoupled_decay)};
}

template <typename Real>
struct UpdateElement {
  Real* parameters;
  const Real* gradients;
  Real* exp_avg;
  Real* exp_avg_sq;
  const StepScalars<Real>* scalars;
  Real one_minus_beta1, beta2, one_minus_beta2, eps;
  Real l2;  // 0 when the decay is decoupled

  __device__ void operator()(std::int64_t i) const {
    const Real before = parameters[i];
    const Real g = fma(l2, before, gradients[i]);
    const Real m = fma(one_minus_beta1, g - exp_avg[i], exp_avg[i]);
    const Real v = fma(beta2, exp_avg_sq[i], one_minus_beta2 * g * g);
    exp_avg[i] = m;
    exp_avg_sq[i] = v;
    const Real denominator = sqrt(v) / scalars->root_correction + eps;
    parameters[i] = before * scalars->keep - scalars->step_size * m / denominator;
  }
};

void run_step(const Tensor& parameters, const Tensor& gradients, const Tensor& exp_avg,
              const Tensor& exp_avg_sq, const AdamState& state, const AdamParams& params,
              const Tensor& scratch) {
  const double decoupled_decay = params.decoupled ? params.weight_decay : 0;
  for_real("adam", parameters.dtype(), [&]<typename Real>() {
    auto* scalars = static_cast<StepScalars<Real>*>(scratch.raw());
    simt::launch("adam.begin_step", begin_step_kernel<Real>,
                 {.grid = {1}, .block = {1}, .stream = parameters.stream()}, state.lr.data<float>(),
                 state.step.data<std::int32_t>(), params.beta1, params.beta2, decoupled_decay,
                 scalars);
    simt::map("adam.step", parameters.stream(), parameters.elements(),
              UpdateElement<Real>{.parameters = parameters.data<Real>(),
                                  .gradients = gradients.data<Real>(),
                                  .exp_avg = exp_avg.data<Real>(),
                                  .exp_avg_sq = exp_avg_sq.data<Real>(),
                                  .scalars = scalars,
                                  .one_minus_beta1 = static_cast<Real>(1 - params.beta1),
                                  .beta2 = static_cast<Real>(params.beta2),
                                  .one_minus_beta2 = static_cast<Real>(1 - params.beta2),
                                  .eps = static_cast<Real>(params.eps),
                                  .l2 = static_cast<Real>(params.weight_decay - decoupled_decay)});
  });
}

}  // namespace

template <typename Target>
AdamOp AdamOp::hand() {
  return {.dtypes = kReal, .step = run_step};
}
template AdamOp AdamOp::hand<simt::Target>();

}  // namespace cucina
