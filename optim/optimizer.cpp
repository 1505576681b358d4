// Optimisers: state in flat buffers beside the values, one call of the op per range.
#include "optim/optimizer.h"

#include <cmath>

#include "core/error.h"

namespace cucina::optim {

Optimizer::Optimizer(const Flat& flat, double learning_rate)
    : flat_(flat),
      lr_(Tensor::zeros({1}, DType::f32, flat.values.device())),
      steps_(Tensor::zeros({1}, DType::i32, flat.values.device())) {
  if (flat.values.shape() != flat.gradients.shape() || flat.values.shape().rank() != 1)
    fail("optimizer: values {} and gradients {}; both must be flat and alike",
         cucina::describe(flat.values), cucina::describe(flat.gradients));
  if (flat.decayed < 0 || flat.decayed > flat.values.elements())
    fail("optimizer: decay of the first {} of {} values", flat.decayed, flat.values.elements());
  set_learning_rate(learning_rate);
}

void Optimizer::set_learning_rate(double value) {
  if (!(value >= 0) || !std::isfinite(value))
    fail("optimizer: the learning rate is {}; it must be finite and not negative", value);
  if (value != learning_rate_) lr_.fill(value);
  learning_rate_ = value;
}

std::vector<Optimizer::Range> Optimizer::split(double weight_decay, int states) const {
  if (!(weight_decay >= 0) || !std::isfinite(weight_decay))
    fail("optimizer: the weight decay is {}; it must be finite and not negative", weight_decay);
  const std::int64_t all = flat_.values.elements();
  const std::int64_t decayed = weight_decay > 0 ? flat_.decayed : 0;
  std::vector<Range> ranges;
  const auto add = [&](std::int64_t begin, std::int64_t end, double decay) {
    if (begin == end) return;
    Range range{.values = flat_.values.rows(begin, end),
                .gradients = flat_.gradients.rows(begin, end),
                .weight_decay = decay,
                .steps = ranges.empty() ? steps_ : steps_.clone(),
                .first = {},
                .second = {}};
    const auto zeros = [&] {
      return Tensor::zeros(range.values.shape(), range.values.dtype(), range.values.device());
    };
    if (states > 0) range.first = zeros();
    if (states > 1) range.second = zeros();
    ranges.push_back(std::move(range));
  };
  add(0, decayed, weight_decay);
  add(decayed, all, 0);
  return ranges;
}

Adam::Adam(const Flat& flat, const AdamOptions& options)
    : Optimizer(flat, options.learning_rate),
      options_(options),
      ranges_(split(options.weight_decay, 2)) {}

void Adam::step() {
  for (const Range& range : ranges_) {
    adam_step(range.values, range.gradients, range.first, range.second,
              {.lr = lr_, .step = range.steps},
              {.beta1 = options_.beta1,
               .beta2 = options_.beta2,
               .eps = options_.eps,
               .weight_decay = range.weight_decay,
               .decoupled = true});
  }
}

std::string Adam::describe() const {
  return fmt::format("adam, lr {}, betas {} and {}, eps {}, decoupled weight decay {}",
                     learning_rate(), options_.beta1, options_.beta2, options_.eps,
                     options_.weight_decay);
}

Sgd::Sgd(const Flat& flat, const SgdOptions& options)
    : Optimizer(flat, options.learning_rate),
      options_(options),
      ranges_(split(options.weight_decay, options.momentum > 0 ? 1 : 0)) {}

void Sgd::step() {
  for (const Range& range : ranges_) {
    sgd_step(range.values, range.gradients, range.first, {.lr = lr_, .step = range.steps},
             {.momentum = options_.momentum,
              .weight_decay = range.weight_decay,
              .nesterov = options_.nesterov});
  }
}

std::string Sgd::describe() const {
  return fmt::format("sgd, lr {}, momentum {}, weight decay {}", learning_rate(), options_.momentum,
                     options_.weight_decay);
}

}  // namespace cucina::optim
