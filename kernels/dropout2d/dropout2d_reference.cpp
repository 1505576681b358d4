// dropout2d in plain loops: the definition of right.
#include "kernels/dropout2d/dropout2d.h"

namespace cucina {
namespace {

template <typename Real>
void scale_channels(const Tensor& x, const Tensor& step, float p, const RandomStream& random,
                    bool accumulate, const Tensor& y) {
  const auto now = static_cast<std::uint32_t>(*step.data<std::int32_t>());
  const std::int64_t pixels = x.size(1) * x.size(2), channels = x.size(3);
  for (std::int64_t n = 0; n < x.size(0); ++n) {
    for (std::int64_t pixel = 0; pixel < pixels; ++pixel) {
      for (std::int64_t c = 0; c < channels; ++c) {
        const bool keep = random.uniform(now, static_cast<std::uint64_t>(n * channels + c)) >= p;
        const std::int64_t i = (n * pixels + pixel) * channels + c;
        const Real scaled = x.data<Real>()[i] * (keep ? 1 / (1 - static_cast<Real>(p)) : 0);
        Real& to = y.data<Real>()[i];
        to = accumulate ? to + scaled : scaled;
      }
    }
  }
}

void run_forward(const Tensor& x, const Tensor& step, float p, const RandomStream& random,
                 const Tensor& y) {
  for_real("dropout2d", x.dtype(),
           [&]<typename Real>() { scale_channels<Real>(x, step, p, random, false, y); });
}

void run_backward(const Tensor& dy, const Tensor& step, float p, const RandomStream& random,
                  Write write, const Tensor& dx) {
  for_real("dropout2d", dy.dtype(), [&]<typename Real>() {
    scale_channels<Real>(dy, step, p, random, write == Write::accumulate, dx);
  });
}

}  // namespace

Dropout2dOp Dropout2dOp::reference() {
  return {.dtypes = kReal, .forward = run_forward, .backward = run_backward};
}

}  // namespace cucina
