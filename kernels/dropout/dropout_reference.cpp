// dropout in plain loops: the definition of right.
#include "kernels/dropout/dropout.h"

namespace cucina {
namespace {

void scale_elements(const Tensor& x, const Tensor& step, float p, const RandomStream& random,
                    Write write, const Tensor& y) {
  const auto now = static_cast<std::uint32_t>(*step.data<std::int32_t>());
  for_real("dropout", x.dtype(), [&]<typename Real>() {
    for (std::int64_t i = 0; i < x.elements(); ++i) {
      const bool keep = random.uniform(now, static_cast<std::uint64_t>(i)) >= p;
      const Real scaled = x.data<Real>()[i] * (keep ? 1 / (1 - static_cast<Real>(p)) : 0);
      Real& to = y.data<Real>()[i];
      to = write == Write::accumulate ? to + scaled : scaled;
    }
  });
}

void run_forward(const Tensor& x, const Tensor& step, float p, const RandomStream& random,
                 const Tensor& y) {
  scale_elements(x, step, p, random, Write::overwrite, y);
}

}  // namespace

DropoutOp DropoutOp::reference() {
  return {.dtypes = kReal, .forward = run_forward, .backward = scale_elements};
}

}  // namespace cucina
