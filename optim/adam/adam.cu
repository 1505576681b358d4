// adam's hand-written kernel: one launch updates the arena and counts the step.
#include "kernels/common/arena.h"
#include "kernels/common/pack.h"
#include "optim/adam/adam.h"

namespace cucina {
namespace {

// base^exponent by repeated squaring: multiplications only, so the same bits on every machine.
__device__ double power(double base, std::int32_t exponent) {
  double result = 1;
  for (; exponent > 0; exponent /= 2) {
    if (exponent % 2 == 1) result *= base;
    base *= base;
  }
  return result;
}

// What is the same for all elements of a step.
template <typename Real>
struct StepScalars {
  Real step_size;        // lr / (1 - beta1^t)
  Real root_correction;  // sqrt(1 - beta2^t)
  Real keep;             // 1 - lr weight_decay when decoupled, else 1
};

template <typename Real, bool kCopies>
struct Update {
  Real* parameters;
  const Real* gradients;
  Real* exp_avg;
  Real* exp_avg_sq;
  bfloat16* bf16_copy;
  const float* lr;
  std::int32_t* step;
  double beta1, beta2, decoupled_decay;
  Real one_minus_beta1, narrow_beta2, one_minus_beta2, eps;
  Real l2;  // 0 when the decay is decoupled
  std::int64_t decayed;

  // The powers once per block, and in double.
  __device__ StepScalars<Real> begin() const {
    const std::int32_t t = *step + 1;
    const double rate = *lr;
    return {.step_size = static_cast<Real>(rate / (1 - power(beta1, t))),
            .root_correction = static_cast<Real>(sqrt(1 - power(beta2, t))),
            .keep = static_cast<Real>(1 - rate * decoupled_decay)};
  }

  template <int kWidth>
  __device__ void apply(std::int64_t i, const StepScalars<Real>& common) const {
    auto p = load_pack<kWidth>(parameters + i);
    const auto gradient = load_pack<kWidth>(gradients + i);
    auto m = load_pack<kWidth>(exp_avg + i);
    auto v = load_pack<kWidth>(exp_avg_sq + i);
    Pack<bfloat16, kWidth> copy;
    for (int j = 0; j < kWidth; ++j) {
      const bool decays = i + j < decayed;
      const Real g = fma(decays ? l2 : Real(0), p.at[j], gradient.at[j]);
      m.at[j] = fma(one_minus_beta1, g - m.at[j], m.at[j]);
      v.at[j] = fma(narrow_beta2, v.at[j], one_minus_beta2 * g * g);
      const Real denominator = sqrt(v.at[j]) / common.root_correction + eps;
      p.at[j] =
          p.at[j] * (decays ? common.keep : Real(1)) - common.step_size * m.at[j] / denominator;
      copy.at[j] = bfloat16(static_cast<float>(p.at[j]));
    }
    store_pack(p, parameters + i);
    store_pack(m, exp_avg + i);
    store_pack(v, exp_avg_sq + i);
    if constexpr (kCopies) store_pack(copy, bf16_copy + i);
  }

  __device__ void end() const { *step += 1; }
};

template <typename Real, bool kCopies>
void launch_step(const Tensor& parameters, const Tensor& gradients, const Tensor& exp_avg,
                 const Tensor& exp_avg_sq, const StepState& state, const AdamParams& params,
                 const Tensor& bf16_copy) {
  const double decoupled_decay = params.decoupled ? params.weight_decay : 0;
  const Update<Real, kCopies> update{.parameters = parameters.data<Real>(),
                                     .gradients = gradients.data<Real>(),
                                     .exp_avg = exp_avg.data<Real>(),
                                     .exp_avg_sq = exp_avg_sq.data<Real>(),
                                     .bf16_copy = kCopies ? bf16_copy.data<bfloat16>() : nullptr,
                                     .lr = state.lr.data<float>(),
                                     .step = state.step.data<std::int32_t>(),
                                     .beta1 = params.beta1,
                                     .beta2 = params.beta2,
                                     .decoupled_decay = decoupled_decay,
                                     .one_minus_beta1 = static_cast<Real>(1 - params.beta1),
                                     .narrow_beta2 = static_cast<Real>(params.beta2),
                                     .one_minus_beta2 = static_cast<Real>(1 - params.beta2),
                                     .eps = static_cast<Real>(params.eps),
                                     .l2 = static_cast<Real>(params.weight_decay - decoupled_decay),
                                     .decayed = params.decayed};
  for_arena_width<Real>({parameters, gradients, exp_avg, exp_avg_sq, bf16_copy}, [&]<int kWidth>() {
    update_arena<kWidth>("adam.step", parameters.stream(), parameters.elements(), update,
                         static_cast<unsigned*>(state.arrivals.raw()));
  });
}

void run_step(const Tensor& parameters, const Tensor& gradients, const Tensor& exp_avg,
              const Tensor& exp_avg_sq, const StepState& state, const AdamParams& params,
              const Tensor& bf16_copy) {
  for_real("adam", parameters.dtype(), [&]<typename Real>() {
    const auto launch = bf16_copy.defined() ? launch_step<Real, true> : launch_step<Real, false>;
    launch(parameters, gradients, exp_avg, exp_avg_sq, state, params, bf16_copy);
  });
}

}  // namespace

template <typename Target>
AdamOp AdamOp::hand() {
  return {.dtypes = kReal, .step = run_step};
}
template AdamOp AdamOp::hand<simt::Target>();

}  // namespace cucina
