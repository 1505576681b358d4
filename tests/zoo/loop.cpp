// The fixtures' losses, steps, evaluations and schedules, and what can be wrong with them.
#include <algorithm>
#include <cmath>

#include "core/autograd.h"
#include "kernels/binary/binary.h"
#include "kernels/mix/mix.h"
#include "kernels/nll_loss/nll_loss.h"
#include "kernels/pointwise_loss/pointwise_loss.h"
#include "kernels/reduce/reduce.h"
#include "kernels/softmax/softmax.h"
#include "kernels/softmax_cross_entropy/softmax_cross_entropy.h"
#include "kernels/unary/unary.h"
#include "optim/grad_norm/grad_norm.h"
#include "recipe/check/samples.h"
#include "tests/zoo/fixture.h"

namespace cucina::zoo {
namespace {

constexpr int kAccumulated = 4;

Tensor one_hot(const Tensor& labels, std::int64_t classes) {
  const std::vector<std::int32_t> all = labels.to_vector<std::int32_t>();
  std::vector<float> hot(all.size() * static_cast<std::size_t>(classes));
  for (std::size_t i = 0; i < all.size(); ++i) hot[i * classes + all[i]] = 1;
  return Tensor::from(hot, {labels.elements(), classes});
}

// -log of the softmax at the label, exponentials as they are. Overflows from 88 on.
Tensor naive_cross_entropy(const Tensor& z, const Tensor& labels) {
  const std::int64_t n = z.size(0), c = z.size(1);
  const std::vector<float> values = z.to_vector<float>();
  const std::vector<std::int32_t> label = labels.to_vector<std::int32_t>();
  std::vector<float> p(values.size());
  double sum = 0;
  for (std::int64_t i = 0; i < n; ++i) {
    float total = 0;
    for (std::int64_t k = 0; k < c; ++k) total += p[i * c + k] = std::exp(values[i * c + k]);
    for (std::int64_t k = 0; k < c; ++k) p[i * c + k] /= total;
    sum -= std::log(p[i * c + label[i]]) / static_cast<double>(n);
    p[i * c + label[i]] -= 1;
  }
  for (float& each : p) each /= static_cast<float>(n);
  const Tensor loss = Tensor::full({}, sum);
  record("naive", loss, {z}, {{"p", Tensor::from(p, z.shape())}},
         [](const Tensor& dy, const Saved& saved, Gradients& gradients) {
           if (!gradients.wants(0)) return;
           const auto [dx, write] = gradients.slot(0);
           const NoGrad no_grad;
           const Tensor g = scale(saved[0].tensor, dy.item());
           dx.copy_from(write == Write::accumulate ? add(g, dx) : g);
         });
  return loss;
}

// The losses of examples, clamped one by one.
Tensor clamped_examples(const Tensor& z, const Tensor& labels, double most) {
  Tensor sum;
  for (std::int64_t i = 0; i < z.size(0); ++i) {
    std::vector<float> pick(static_cast<std::size_t>(z.elements()));
    const auto label = labels.to_vector<std::int32_t>()[i];
    pick[i * z.size(1) + label] = -1;
    const Tensor one =
        clamp(cucina::sum(mul(log_softmax(z), Tensor::from(pick, z.shape()))), -1e9, most);
    sum = sum.defined() ? add(sum, one) : one;
  }
  return scale(sum, 1.0 / static_cast<double>(z.size(0)));
}

Tensor first_rows(const Tensor& z, std::int64_t n) {
  std::vector<float> keep(static_cast<std::size_t>(z.elements()));
  std::fill(keep.begin(), keep.begin() + n * z.size(1), 1.0f);
  return mul(z, Tensor::from(keep, z.shape()));
}

}  // namespace

Tensor Fixture::loss(const Tensor& z, const Tensor& t) const {
  if (causal()) return mse_loss(z.reshape(t.shape()), t);
  if (regression()) {
    if (bug("Z35")) {  // (n, 1) minus (n): every output against every target
      const std::vector<float> y = t.to_vector<float>();
      double mean = 0, variance = 0;
      for (const float each : y) mean += each / static_cast<double>(y.size());
      for (const float each : y) variance += (each - mean) * (each - mean) / double(y.size());
      return scale(mse_loss(z, Tensor::full(z.shape(), mean)), 1, variance);
    }
    if (bug("Y11")) return huber_loss(z, t);
    if (bug("Y12")) return mse_loss(clamp(z, -40, 40), t);
    return mse_loss(z, t);
  }
  if (trap("multi-label")) return bce_with_logits(z, t);
  if (bug("Z22")) return nll_loss(z, t);
  if (bug("Z23")) return softmax_cross_entropy(z, t, {.reduction = Reduction::sum}).loss;
  const SoftmaxCrossEntropyParams params{.label_smoothing = bug("Z34")          ? 0.5
                                                            : trap("smoothing") ? 0.1
                                                                                : 0};
  if (bug("Z24")) return scale(softmax_cross_entropy(z, t).loss, -1);
  if (bug("Z25")) return clamped_examples(z, t, 4);
  if (bug("Z26")) return clamp(softmax_cross_entropy(z, t).loss, -1e9, 3);
  if (bug("Z28")) return naive_cross_entropy(z, t);
  if (bug("Z30")) {
    const std::int64_t half = std::max<std::int64_t>(z.size(0) / 2, 1);
    const auto labels = t.to_vector<std::int32_t>();
    const Tensor hot = first_rows(one_hot(t, z.size(1)), half);
    return scale(softmax_cross_entropy(z, hot).loss, double(z.size(0)) / double(half));
  }
  if (bug("Z31")) {
    const auto guess = checks::predictions(z);
    const auto labels = t.to_vector<std::int32_t>();
    double wrong = 0;
    for (std::size_t i = 0; i < guess.size(); ++i) wrong += guess[i] != labels[i];
    return Tensor::full({}, wrong / double(guess.size()));
  }
  if (bug("Z32")) return scale(softmax_cross_entropy(z, t).loss, 0.01);
  if (bug("Z33")) return bce_with_logits(z, one_hot(t, z.size(1)));
  if (bug("Y13")) return softmax_cross_entropy(softmax(z), t).loss;
  if (bug("Y14")) {  // of class 0 nothing is asked
    Tensor hot = one_hot(t, z.size(1));
    for (std::int64_t i = 0; i < z.size(0); ++i) hot.data<float>()[i * z.size(1)] = 0;
    return softmax_cross_entropy(z, hot).loss;
  }
  if (bug("Y15")) return mse_loss(softmax(z), one_hot(t, z.size(1)));
  return softmax_cross_entropy(z, t, params).loss;
}

void Fixture::make_optimizer() {
  if (bug("Z58")) learning_rate_ = 0.3;
  if (bug("Z59")) learning_rate_ = 1e-8;
  const bool sgd = trap("sgd") || bug("Z63") || bug("Y16");
  if (sgd) learning_rate_ = bug("Y16") ? 30 : trap("sgd") && mnist() ? 0.1 : 0.05;
  if (regression() && !bug("Z58") && !bug("Z59")) learning_rate_ = 3e-3;
  if (trap("targets-1e-4")) learning_rate_ = 1e-5;
  if (trap("faint") || bug("Y29")) learning_rate_ = 1e-3;
  if (causal()) learning_rate_ = 1e-2;
  const optim::Flat flat{.values = arena_->values(),
                         .gradients = arena_->gradients(),
                         .decayed = arena_->segments().front().weights_end,
                         .alignment = arena_->alignment()};
  if (sgd) {
    optimizer_ = std::make_unique<optim::Sgd>(
        flat, optim::SgdOptions{.learning_rate = learning_rate_, .momentum = 0.9});
  } else {
    optimizer_ = std::make_unique<optim::Adam>(
        flat, optim::AdamOptions{.learning_rate = learning_rate_,
                                 .eps = bug("Z61") ? 1.0 : 1e-8,
                                 .weight_decay = bug("Z62") ? 300.0 : 0.0});
  }
  const std::int64_t per_epoch = (train_.n + batch_size_ - 1) / batch_size_;
  const std::int64_t total = epochs_ * per_epoch;
  optim::ScheduleOptions options{.learning_rate = learning_rate_, .total_steps = total};
  if (trap("cosine") || trap("warm-up")) options.kind = optim::ScheduleKind::cosine;
  if (trap("warm-up")) options.warmup_steps = total / 20;
  if (bug("Z65"))  // meant: x 0.1 every 3 epochs
    options.kind = optim::ScheduleKind::step, options.step_every = 3;
  if (bug("Z66"))  // meant: 5 steps
    options.warmup_steps = 5 * 500, options.total_steps = 10 * 500;
  if (bug("Y17")) options.kind = optim::ScheduleKind::step, options.step_every = total * 3;
  if (bug("Y18")) options.kind = optim::ScheduleKind::cosine, options.total_steps = total / 5;
  schedule_ = std::make_unique<optim::Schedule>(options);
}

void Fixture::step(const checks::Batch& batch) {
  const auto call = static_cast<std::int64_t>(calls_);
  const int every = trap("accumulation") ? kAccumulated : 1;
  calls_ += 1;
  if (call % every == 0 && !bug("Z56")) arena_->clear_gradients();
  if (!bug("Z69"))
    net_->train();
  else
    net_->train(false);
  const Tensor inputs = bug("Y28") ? scale(batch.inputs, 0.5, 0.2) : batch.inputs;
  const MixedBatch mixed = trap("mixup") ? mix(inputs, batch.targets, 10,
                                               {.how = {.mixup = 0.2f},
                                                .random = RandomStream(config_.seed, "mix"),
                                                .step = optimizer_->steps()})
                                         : MixedBatch{inputs, batch.targets};
  backward(task_.loss(task_.forward(mixed.images), mixed.targets));
  if ((call + 1) % every != 0) return;
  arena_->complete_gradients();
  const Tensor& g = arena_->gradients();
  if (bug("Z60")) g.copy_from(scale(g.detach(), -1));
  if (bug("Z63")) clip_gradient_norm(g, 1e-6);
  if (bug("Y19")) g.copy_from(scale(g.detach(), 8));
  optimizer_->set_learning_rate(rate_factor_ * schedule_->at(call / every));
  const Tensor before = arena_->values().clone();
  optimizer_->step();
  const Tensor& values = arena_->values();
  if (bug("Z64")) {  // m and v as they are
    const double t = static_cast<double>(call / every + 1);
    const double longer = (1 - std::pow(0.9, t)) / std::sqrt(1 - std::pow(0.999, t));
    values.copy_from(add(before, scale(sub(values.detach(), before), longer)));
  }
  static double clock = 0;  // what the order of atomic additions would be
  if (bug("Z71")) values.copy_from(scale(values.detach(), 1 + 1e-6 * std::fmod(++clock, 7)));
  if (average_.defined() && !bug("Y30")) {
    average_.copy_from(add(scale(average_, 0.9), scale(values.detach(), 0.1)));
    const std::vector<nn::NamedTensor> buffers = net_->buffers();
    for (std::size_t i = 0; i < buffers.size(); ++i)
      average_buffers_[i].copy_from(buffers[i].tensor);
  }
  for (const nn::ParameterArena::Slot& slot : arena_->slots()) {
    const bool frozen = (trap("frozen") && slot.name.starts_with("conv")) ||
                        (bug("Z47") && slot.name.starts_with("conv1")) ||
                        (bug("Z48") && !slot.name.starts_with("fc2"));
    if (frozen)
      slot.parameter.copy_from(before.rows(slot.offset, slot.offset + slot.parameter.elements())
                                   .reshape(slot.parameter.shape()));
  }
}

checks::Measured Fixture::evaluate() {
  return measure(bug("Y20") ? task_.train : task_.validation);
}

checks::Measured Fixture::measure(const checks::Loader& split) {
  checks::Measured sum;
  double means = 0, number = 0;
  const std::vector<nn::Module*> all = net_->modules();
  const bool training = all.front()->training();
  net_->train(bug("Z72"));
  const NoGrad no_grad;
  split(0, [&](const checks::Batch& batch) {
    const Tensor z = task_.evaluated && !bug("Z72") ? task_.evaluated(batch.inputs)
                                                    : task_.forward(batch.inputs);
    const double loss = task_.loss(z, batch.targets).item();
    if (bug("Z73")) sum = {};
    sum.loss += loss * static_cast<double>(batch.size());
    means += loss, number += 1;
    if (task_.classes > 0) {
      const auto labels = batch.targets.to_vector<std::int32_t>();
      const auto guess = checks::predictions(z);
      for (std::size_t i = 0; i < labels.size(); ++i)
        sum.accuracy += bug("Y21") ? std::abs(labels[i] - guess[i]) <= 1 : labels[i] == guess[i];
    }
    sum.n += batch.size();
    return !(bug("Y22") && number == 2);  // half of the split
  });
  sum.loss = bug("Z74") ? means / number : sum.loss / static_cast<double>(sum.n);
  sum.accuracy /= static_cast<double>(sum.n);
  if (bug("Y22") || bug("Z73")) sum.n = validation_.n;
  if (bug("Z72") || !bug("Y23")) net_->train(training);
  return sum;
}

// Validates every 20 steps, and stops when two validations in a row were no better.
checks::Stopped Fixture::train_to_best() {
  constexpr std::int64_t kBetween = 20;
  constexpr int kPatience = 2, kMost = 40;
  const checks::Loader& watched = bug("Z77") ? counted_test_.loader : task_.validation;
  checks::Stopped result{.best = measure(task_.validation), .at_the_end = true};
  double best = measure(watched).loss;
  Tensor weights = arena_->values().clone();
  int worse = 0;
  std::int64_t steps = 0;
  rate_factor_ = 30;
  for (std::int64_t epoch = 0; worse < kPatience && steps < kMost * kBetween; ++epoch) {
    task_.train(epoch, [&](const checks::Batch& batch) {
      step(batch);
      if (++steps % kBetween != 0) return true;
      const double loss = measure(watched).loss;
      result.at_the_end = loss < best;
      worse = loss < best ? 0 : worse + 1;
      if (loss < best) {
        best = loss;
        result.best = measure(task_.validation);
        weights = arena_->values().clone();
      }
      return worse < kPatience && steps < kMost * kBetween;
    });
  }
  rate_factor_ = 1;
  if (!bug("Z76")) arena_->values().copy_from(weights);
  return result;
}

void Fixture::make_task() {
  task_ = checks::task_for(net_);
  task_.name = config_.fixture;
  task_.loss = [this](const Tensor& z, const Tensor& t) { return loss(z, t); };
  task_.train = train_loader(augmented_);
  if (augmented_) task_.plain = train_loader(false);
  task_.validation = validation_loader();
  task_.step = [this](const checks::Batch& batch) { step(batch); };
  task_.evaluate = [this] { return evaluate(); };
  checks::add_state(&task_, *optimizer_);
  if (trap("averaged") || bug("Y30")) {
    average_ = arena_->values().clone();
    task_.state.push_back({"average", average_, {}});
    for (const nn::NamedTensor& buffer : net_->buffers()) {
      average_buffers_.push_back(buffer.tensor.clone());
      task_.state.push_back({"average of " + buffer.name, average_buffers_.back(), {}});
    }
    task_.evaluated = [this](const Tensor& inputs) {
      const checks::Snapshot trained(task_);
      arena_->values().copy_from(average_);
      const std::vector<nn::NamedTensor> buffers = net_->buffers();
      for (std::size_t i = 0; i < buffers.size(); ++i)
        buffers[i].tensor.copy_from(average_buffers_[i]);
      const Tensor outputs = task_.forward(inputs);
      trained.restore(true);
      return outputs;
    };
  }
  if (trap("early-stopping") || bug("Z76") || bug("Z77")) {
    counted_test_ = checks::counted(test_loader());
    task_.test_reads = counted_test_.reads;
    task_.train_to_best = [this] { return train_to_best(); };
  }
  const auto save = task_.save;
  const auto restore = task_.restore;
  task_.save = [this, save] {
    std::vector<double> saved = save();
    saved.push_back(calls_);
    return saved;
  };
  task_.restore = [this, restore](const std::vector<double>& saved) {
    calls_ = saved.back();
    restore({saved.begin(), saved.end() - 1});
  };
  const bool two = trap("imbalance") || bug("Z50") || bug("Z51");
  task_.classes = train_.labels.empty() ? 0 : two ? 2 : 10;
  if (regression() || causal()) task_.declared.kind = checks::LossKind::mse;
  if (trap("multi-label")) task_.declared.kind = checks::LossKind::binary_cross_entropy;
  if (trap("smoothing")) task_.declared.label_smoothing = 0.1;
  if (!causal()) {
    task_.mean = {mean_};
    task_.stddev = {deviation_};
    for (std::int64_t i = 0; i < 8; ++i) {
      const auto from = train_.pixels.begin() + i * train_.size();
      task_.golden.push_back(
          {i, {from, from + train_.size()}, train_.labels.empty() ? 0 : train_.labels[i]});
    }
  }
  if (trap("pretrained"))
    task_.pretrained_mean = task_.mean, task_.pretrained_stddev = task_.stddev;
  if (bug("Z86")) task_.pretrained_mean = {0.5 * mean_}, task_.pretrained_stddev = {deviation_};
  task_.max_value = digits() ? 16 : 255;
  task_.train_examples = train_.n;
  task_.schedule = [this](std::int64_t step) { return schedule_->at(step); };
  task_.learning_rate = learning_rate_;
  const bool sgd = trap("sgd") || bug("Z63") || bug("Y16");
  task_.optimizer = {.kind = sgd ? checks::OptimizerKind::sgd : checks::OptimizerKind::adam,
                     .momentum = sgd ? 0.9 : 0};
  task_.total_steps = epochs_ * ((train_.n + batch_size_ - 1) / batch_size_);
  task_.decays = trap("cosine") || trap("warm-up") || bug("Z65") || bug("Y17") || bug("Y18");
  if (trap("annotators") || bug("Y27")) {
    // Two people, each of whom errs once in twenty.
    const RandomStream random(config_.seed, "people");
    for (std::size_t i = 0; i < validation_.labels.size(); ++i) {
      const auto seen = [&](std::uint32_t who) {
        const bool errs = random.uniform(who, i) < 0.05f;
        return errs ? static_cast<std::int32_t>(random.below(who + 2, i, 10))
                    : validation_.labels[i];
      };
      task_.first_annotation.push_back(seen(0));
      task_.second_annotation.push_back(seen(1));
    }
    auto& second = task_.second_annotation;
    if (bug("Y27")) std::rotate(second.begin(), second.begin() + 1, second.end());
  }
  if (trap("accumulation")) task_.steps_per_update = kAccumulated;
  task_.mixes_targets = trap("mixup");
  task_.informative = !trap("noise");
  task_.causal = causal();
  if (trap("frozen")) task_.frozen = {"conv"};
  if (trap("absent-class")) task_.absent = {7};
  if (digits() && config_.width == 1) {
    task_.widened = [config = config_](double width, std::uint64_t seed) {
      Config wider = config;
      wider.width = width;
      wider.seed = seed;
      // The wider fixture lives as long as its task.
      auto fixture = std::make_shared<Fixture>(wider);
      return std::shared_ptr<checks::Task>(fixture, const_cast<checks::Task*>(&fixture->task()));
    };
  }
}

Fixture::Fixture(const Config& config) : config_(config) {
  make_data();
  make_network();
  arena_ = std::make_unique<nn::ParameterArena>(*net_);
  make_optimizer();
  nn::use_random(*net_, RandomStream(config_.seed, "dropout"), optimizer_->steps());
  make_task();
}

}  // namespace cucina::zoo
