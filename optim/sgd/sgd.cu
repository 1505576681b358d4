// sgd's hand-written kernel: one launch updates the arena and counts the step.
#include "kernels/common/arena.h"
#include "kernels/common/pack.h"
#include "optim/sgd/sgd.h"

namespace cucina {
namespace {

// What is the same for all elements of a step.
template <typename Real>
struct StepScalars {
  Real lr;
  Real first;  // 1 at step 0, else 0: a bool would leave bytes that nobody writes
};

template <typename Real, bool kMomentum, bool kCopies>
struct Update {
  Real* parameters;
  const Real* gradients;
  Real* momentum_buffer;
  bfloat16* bf16_copy;
  const float* lr;
  std::int32_t* step;
  Real weight_decay, momentum, one_minus_dampening;
  bool nesterov;
  std::int64_t decayed;

  __device__ StepScalars<Real> begin() const {
    return {.lr = static_cast<Real>(*lr), .first = *step == 0 ? Real(1) : Real(0)};
  }

  template <int kWidth>
  __device__ void apply(std::int64_t i, const StepScalars<Real>& common) const {
    auto p = load_pack<kWidth>(parameters + i);
    auto direction = load_pack<kWidth>(gradients + i);
    Pack<bfloat16, kWidth> copy;
    for (int j = 0; j < kWidth; ++j) {
      direction.at[j] = fma(i + j < decayed ? weight_decay : Real(0), p.at[j], direction.at[j]);
    }
    if constexpr (kMomentum) {
      auto buffer = load_pack<kWidth>(momentum_buffer + i);
      for (int j = 0; j < kWidth; ++j) {
        const Real gradient = direction.at[j];
        // Computed at step 0 too, from whatever the buffer holds, as a branch would not vectorise.
        const Real mixed = fma(momentum, buffer.at[j], one_minus_dampening * gradient);
        buffer.at[j] = common.first != 0 ? gradient : mixed;
        direction.at[j] = nesterov ? fma(momentum, buffer.at[j], gradient) : buffer.at[j];
      }
      store_pack(buffer, momentum_buffer + i);
    }
    for (int j = 0; j < kWidth; ++j) {
      p.at[j] = fma(-common.lr, direction.at[j], p.at[j]);
      copy.at[j] = bfloat16(static_cast<float>(p.at[j]));
    }
    store_pack(p, parameters + i);
    if constexpr (kCopies) store_pack(copy, bf16_copy + i);
  }

  __device__ void end() const { *step += 1; }
};

template <typename Real, bool kMomentum, bool kCopies>
void launch_step(const Tensor& parameters, const Tensor& gradients, const Tensor& momentum_buffer,
                 const StepState& state, const SgdParams& params, const Tensor& bf16_copy) {
  const Update<Real, kMomentum, kCopies> update{
      .parameters = parameters.data<Real>(),
      .gradients = gradients.data<Real>(),
      .momentum_buffer = kMomentum ? momentum_buffer.data<Real>() : nullptr,
      .bf16_copy = kCopies ? bf16_copy.data<bfloat16>() : nullptr,
      .lr = state.lr.data<float>(),
      .step = state.step.data<std::int32_t>(),
      .weight_decay = static_cast<Real>(params.weight_decay),
      .momentum = static_cast<Real>(params.momentum),
      .one_minus_dampening = static_cast<Real>(1 - params.dampening),
      .nesterov = params.nesterov,
      .decayed = params.decayed};
  const Tensor buffer = kMomentum ? momentum_buffer : Tensor();
  for_arena_width<Real>({parameters, gradients, buffer, bf16_copy}, [&]<int kWidth>() {
    update_arena<kWidth>("sgd.step", parameters.stream(), parameters.elements(), update,
                         static_cast<unsigned*>(state.arrivals.raw()));
  });
}

void run_step(const Tensor& parameters, const Tensor& gradients, const Tensor& momentum_buffer,
              const StepState& state, const SgdParams& params, const Tensor& bf16_copy) {
  for_real("sgd", parameters.dtype(), [&]<typename Real>() {
    const bool copies = bf16_copy.defined();
    const auto launch =
        params.momentum == 0
            ? (copies ? launch_step<Real, false, true> : launch_step<Real, false, false>)
            : (copies ? launch_step<Real, true, true> : launch_step<Real, true, false>);
    launch(parameters, gradients, momentum_buffer, state, params, bf16_copy);
  });
}

}  // namespace

template <typename Target>
SgdOp SgdOp::hand() {
  return {.dtypes = kReal, .step = run_step};
}
template SgdOp SgdOp::hand<simt::Target>();

}  // namespace cucina
