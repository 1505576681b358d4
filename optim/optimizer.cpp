// Optimisers: state in flat buffers beside the values, and calls of the ops.
#include "optim/optimizer.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "core/error.h"
#include "optim/ema/ema.h"
#include "optim/sgd/sgd.h"

namespace cucina::optim {
namespace {

void check_decay(double weight_decay) {
  if (!(weight_decay >= 0) || !std::isfinite(weight_decay))
    fail("optimizer: the weight decay is {}; it must be finite and not negative", weight_decay);
}

}  // namespace

Flat part(const Flat& flat, std::int64_t begin, std::int64_t end) {
  return {.values = flat.values.rows(begin, end),
          .gradients = flat.gradients.rows(begin, end),
          .decayed = std::clamp<std::int64_t>(flat.decayed - begin, 0, end - begin),
          .alignment = flat.alignment,
          .bf16_values = flat.bf16_values.defined() ? flat.bf16_values.rows(begin, end) : Tensor()};
}

Optimizer::Optimizer(const Flat& flat, double learning_rate)
    : flat_(flat), state_(StepState::make(0, flat.values.device())) {
  if (flat.values.shape() != flat.gradients.shape() || flat.values.shape().rank() != 1)
    fail("optimizer: values {} and gradients {}; both must be flat and alike",
         cucina::describe(flat.values), cucina::describe(flat.gradients));
  if (flat.decayed < 0 || flat.decayed > flat.values.elements())
    fail("optimizer: decay of the first {} of {} values", flat.decayed, flat.values.elements());
  Optimizer::set_learning_rate(learning_rate);
}

void Optimizer::set_learning_rate(double value) {
  if (!(value >= 0) || !std::isfinite(value))
    fail("optimizer: the learning rate is {}; it must be finite and not negative", value);
  if (value != learning_rate_) state_.lr.fill(value);
  learning_rate_ = value;
}

void Optimizer::set_steps(std::int64_t steps) {
  if (steps < 0 || steps > std::numeric_limits<std::int32_t>::max())
    fail("optimizer: {} steps done; give a number from 0 to {}", steps,
         std::numeric_limits<std::int32_t>::max());
  state_.step.fill(static_cast<double>(steps));
}

Tensor Optimizer::zeros_like_values() const {
  return Tensor::zeros(flat_.values.shape(), flat_.values.dtype(), flat_.values.device());
}

Adam::Adam(const Flat& flat, const AdamOptions& options)
    : Optimizer(flat, options.learning_rate),
      options_(options),
      exp_avg_(zeros_like_values()),
      exp_avg_sq_(zeros_like_values()) {
  check_decay(options.weight_decay);
}

void Adam::step() {
  adam_step(flat_.values, flat_.gradients, exp_avg_, exp_avg_sq_, state_,
            {.beta1 = options_.beta1,
             .beta2 = options_.beta2,
             .eps = options_.eps,
             .weight_decay = options_.weight_decay,
             .decoupled = true,
             .decayed = flat_.decayed},
            flat_.bf16_values);
}

std::vector<OptimizerState> Adam::state() const {
  return {{"exp_avg", exp_avg_}, {"exp_avg_sq", exp_avg_sq_}};
}

std::string Adam::describe() const {
  return fmt::format("adam, lr {}, betas {} and {}, eps {}, decoupled weight decay {}",
                     learning_rate(), options_.beta1, options_.beta2, options_.eps,
                     options_.weight_decay);
}

Sgd::Sgd(const Flat& flat, const SgdOptions& options)
    : Optimizer(flat, options.learning_rate),
      options_(options),
      momentum_buffer_(options.momentum > 0 ? zeros_like_values() : Tensor()) {
  check_decay(options.weight_decay);
}

void Sgd::step() {
  sgd_step(flat_.values, flat_.gradients, momentum_buffer_, state_,
           {.momentum = options_.momentum,
            .weight_decay = options_.weight_decay,
            .nesterov = options_.nesterov,
            .decayed = flat_.decayed},
           flat_.bf16_values);
}

std::vector<OptimizerState> Sgd::state() const {
  if (!momentum_buffer_.defined()) return {};
  return {{"momentum_buffer", momentum_buffer_}};
}

std::string Sgd::describe() const {
  return fmt::format("sgd, lr {}, momentum {}, weight decay {}", learning_rate(), options_.momentum,
                     options_.weight_decay);
}

Muon::Muon(const Flat& flat, const std::vector<MuonMatrix>& matrices, const MuonOptions& options)
    : Optimizer(flat, options.learning_rate),
      options_(options),
      matrices_(matrices),
      momentum_buffer_(zeros_like_values()) {
  check_decay(options.weight_decay);
  check_muon_matrices(matrices_, flat.values.elements());
  std::sort(matrices_.begin(), matrices_.end(),
            [](const MuonMatrix& a, const MuonMatrix& b) { return a.offset < b.offset; });
  std::int64_t done = 0;
  const auto add_rest = [&](std::int64_t end) {
    if (done < end)
      rest_.push_back({done, std::make_unique<Adam>(part(flat, done, end), options.rest)});
  };
  for (const MuonMatrix& matrix : matrices_) {
    add_rest(matrix.offset);
    const std::int64_t end = matrix.offset + matrix.elements();
    done = (end + flat.alignment - 1) / flat.alignment * flat.alignment;
  }
  add_rest(flat.values.elements());
}

void Muon::step() {
  muon_step(flat_.values, flat_.gradients, momentum_buffer_, matrices_, state_,
            {.momentum = options_.momentum,
             .nesterov = options_.nesterov,
             .iterations = options_.iterations,
             .weight_decay = options_.weight_decay},
            flat_.bf16_values);
  for (const Rest& rest : rest_) rest.adam->step();
}

std::vector<OptimizerState> Muon::state() const {
  std::vector<OptimizerState> all{{"momentum_buffer", momentum_buffer_}};
  for (const auto& [offset, adam] : rest_)
    for (const auto& [name, tensor, at] : adam->state()) all.push_back({name, tensor, offset + at});
  return all;
}

void Muon::set_steps(std::int64_t steps) {
  Optimizer::set_steps(steps);
  for (const Rest& rest : rest_) rest.adam->set_steps(steps);
}

void Muon::set_learning_rate(double value) {
  Optimizer::set_learning_rate(value);
  for (const Rest& rest : rest_)
    rest.adam->set_learning_rate(value / options_.learning_rate * options_.rest.learning_rate);
}

std::string Muon::describe() const {
  return fmt::format(
      "muon, lr {}, momentum {}, decoupled weight decay {}, {} iterations, on {} matrices; for the "
      "rest {}",
      learning_rate(), options_.momentum, options_.weight_decay, options_.iterations,
      matrices_.size(), rest_.empty() ? "nothing" : rest_[0].adam->describe());
}

Average::Average(const Tensor& values, const AverageOptions& options)
    : options_(options),
      values_(values),
      average_(values.clone()),
      decay_(Tensor::full({1}, options.decay, DType::f32, values.device())) {
  if (!(options.decay >= 0 && options.decay <= 1))
    fail("average: the decay is {}; it must be in [0, 1]", options.decay);
}

void Average::update(const Tensor& steps) {
  ema_step(average_, values_, decay_, options_.warm_up ? steps : Tensor());
}

}  // namespace cucina::optim
