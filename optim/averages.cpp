// Averages as steps of the running average's op.
#include "optim/averages.h"

#include "core/error.h"
#include "kernels/common/backends.h"
#include "kernels/unary/unary.h"
#include "optim/ema/ema.h"

namespace cucina::optim {

StochasticAverage::StochasticAverage(const Tensor& values)
    : values_(values),
      average_(values.clone()),
      decay_(Tensor::zeros({1}, DType::f32, values.device())) {}

void StochasticAverage::update(std::int64_t count) {
  const auto n = static_cast<double>(count);
  decay_.fill(n / (n + 1));
  ema_step(average_, values_, decay_, {});
}

Lookahead::Lookahead(const Tensor& values, double part)
    : values_(values),
      slow_(values.clone()),
      decay_(Tensor::full({1}, 1 - part, DType::f32, values.device())) {
  if (!(part > 0 && part <= 1)) fail("lookahead: the part is {}; it must be in (0, 1]", part);
}

void Lookahead::update() {
  ema_step(slow_, values_, decay_, {});
  values_.copy_from(slow_);
}

void clip_gradient_value(const Tensor& gradients, double limit) {
  if (!(limit > 0)) fail("clip_gradient_value: the limit is {}; it must be positive", limit);
  // oneDNN's makes a number of NaN, and a training that diverged would go on.
  const ScopedBackend backend(Backend::hand);
  gradients.copy_from(clamp(gradients, -limit, limit));
}

}  // namespace cucina::optim
