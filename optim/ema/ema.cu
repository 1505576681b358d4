// ema's hand-written kernel: one launch over the arena.
#include "kernels/common/arena.h"
#include "kernels/common/pack.h"
#include "optim/ema/ema.h"

namespace cucina {
namespace {

template <typename Real>
struct Update {
  Real* average;
  const Real* parameters;
  const float* decay;
  const std::int32_t* step;  // null without warm-up

  // How much of the way to the parameters the average goes.
  __device__ Real begin() const {
    double d = *decay;
    if (step != nullptr) {
      const double t = *step;
      const double early = (1 + t) / (10 + t);
      if (early < d) d = early;
    }
    return static_cast<Real>(1 - d);
  }

  template <int kWidth>
  __device__ void apply(std::int64_t i, Real share) const {
    auto mean = load_pack<kWidth>(average + i);
    const auto p = load_pack<kWidth>(parameters + i);
    for (int j = 0; j < kWidth; ++j) mean.at[j] = fma(share, p.at[j] - mean.at[j], mean.at[j]);
    store_pack(mean, average + i);
  }

  __device__ void end() const {}
};

void run_step(const Tensor& average, const Tensor& parameters, const Tensor& decay,
              const Tensor& step) {
  for_real("ema", parameters.dtype(), [&]<typename Real>() {
    for_arena_width<Real>({average, parameters}, [&]<int kWidth>() {
      update_arena<kWidth>(
          "ema.step", parameters.stream(), parameters.elements(),
          Update<Real>{.average = average.data<Real>(),
                       .parameters = parameters.data<Real>(),
                       .decay = decay.data<float>(),
                       .step = step.defined() ? step.data<std::int32_t>() : nullptr},
          nullptr);
    });
  });
}

}  // namespace

template <typename Target>
EmaOp EmaOp::hand() {
  return {.dtypes = kReal, .step = run_step};
}
template EmaOp EmaOp::hand<simt::Target>();

}  // namespace cucina
