// Runs training steps and reports them.
#include "recipe/skeleton/trainer.h"

#include <chrono>
#include <cmath>
#include <limits>
#include <span>
#include <vector>

#include "core/autograd.h"
#include "core/error.h"
#include "kernels/softmax_cross_entropy/softmax_cross_entropy.h"
#include "optim/grad_norm/grad_norm.h"
#include "recipe/skeleton/interrupt.h"
#include "recipe/skeleton/optimizers.h"

namespace cucina::skeleton {
namespace {

constexpr std::int64_t kStepsPerLogLine = 50;
constexpr std::int64_t kEvaluationBatch = 256;  // no gradients are kept, so there is room
// How many steps the host may run ahead of what it has read. The cpu is done when a call returns;
// on the GPU waiting for every step would leave it idle in between.
constexpr std::size_t kStepsAhead = 16;

double unix_time() {
  return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
}

double seconds_since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

report::Estimate estimate(const MeanAccumulator& values) {
  return {.mean = values.mean(), .error = values.error()};
}

const TrainOptions& checked(const TrainOptions& options, const data::Dataset& data,
                            const nn::ModelSpec& spec) {
  if (options.epochs < 1) fail("train: {} epochs; at least 1 is needed", options.epochs);
  const data::ImageSet& set = data.train;
  if (set.n < 1)
    fail(ExitCode::bad_file, "train: the data set {} has no training images", data.name);
  if (set.h != spec.h || set.w != spec.w || set.c != spec.c || set.classes != spec.classes)
    fail("train: the data are {}x{}x{} in {} classes but model {} takes {}x{}x{} in {}", set.h,
         set.w, set.c, set.classes, spec.name, spec.h, spec.w, spec.c, spec.classes);
  return options;
}

// Of an epoch; see Trainer::steps_per_epoch().
std::int64_t count_steps(const data::Loader& loader, std::int64_t images, const nn::Model& model) {
  const bool single = images % loader.batch_size() == 1 && loader.batch_size() > 1;
  const bool leaves_out = single && images > 1 && nn::has_batch_norm(*model.net);
  return loader.batches() - (leaves_out ? 1 : 0);
}

// Epochs without end are a way to say "until I stop it".
std::int64_t all_steps(std::int64_t epochs, std::int64_t steps_per_epoch) {
  std::int64_t steps = 0;
  const bool overflow = __builtin_mul_overflow(epochs, steps_per_epoch, &steps);
  return overflow ? std::numeric_limits<std::int64_t>::max() : steps;
}

optim::Schedule make_schedule(const TrainOptions& options, std::int64_t steps_per_epoch) {
  optim::ScheduleOptions schedule = options.schedule;
  schedule.learning_rate = options.learning_rate;
  if (schedule.total_steps == 0) schedule.total_steps = all_steps(options.epochs, steps_per_epoch);
  return optim::Schedule(schedule);
}

std::unique_ptr<optim::Average> make_average(const nn::ParameterArena& arena, double decay) {
  if (decay == 0) return nullptr;
  return std::make_unique<optim::Average>(arena.values(), optim::AverageOptions{.decay = decay});
}

}  // namespace

// Reads outcomes in the order of the steps, adds them up, and reports.
class Trainer::Epoch {
 public:
  Epoch(std::int64_t epoch, const Trainer& trainer, const TrainReport& report, EpochSums* sums)
      : epoch_(epoch), trainer_(trainer), report_(report), sums_(*sums) {}

  void add(std::int64_t step, const StepOutcome& outcome) {
    pending_.push_back({step, outcome});
    if (pending_.size() >= (trainer_.options_.device == Device::cpu ? 1 : kStepsAhead)) read_all();
  }

  void read_all() {
    for (const auto& [step, outcome] : pending_) read(step, outcome);
    pending_.clear();
  }

  void log_rest() {
    read_all();
    if (sums_.since_line.n() > 0) log(trainer_.position_.step);
  }

 private:
  struct Pending {
    std::int64_t step;
    StepOutcome outcome;
  };

  void read(std::int64_t step, const StepOutcome& outcome) {
    const std::vector<float> losses = outcome.losses.to_vector<float>();
    const std::vector<std::int32_t> correct = outcome.correct.to_vector<std::int32_t>();
    for (std::size_t i = 0; i < losses.size(); ++i) {
      sums_.loss.add(losses[i]);
      sums_.accuracy.add(correct[i]);
      sums_.since_line.add(losses[i]);
      sums_.hits_since_line += correct[i];
    }
    if (!std::isfinite(sums_.loss.mean())) {
      log(step);
      fail(ExitCode::diverged,
           "train: the loss is {} at step {} (epoch {}); lower --lr, which is {}, or look at the "
           "data",
           sums_.loss.mean(), step, epoch_, trainer_.options_.learning_rate);
    }
    if (step % kStepsPerLogLine == 0) log(step);
    if (report_.progress != nullptr)
      report_.progress->step({.step = step - (epoch_ - 1) * trainer_.steps_per_epoch_,
                              .images = static_cast<std::int64_t>(losses.size()),
                              .loss = estimate(sums_.loss),
                              .accuracy = estimate(sums_.accuracy),
                              .learning_rate = trainer_.schedule_.at(step - 1)});
  }

  // The steps since the last line, as one line.
  void log(std::int64_t step) {
    if (report_.metrics != nullptr)
      report_.metrics->write({.unix_time = unix_time(),
                              .step = step,
                              .epoch = epoch_,
                              .split = "train",
                              .loss = sums_.since_line.mean(),
                              .accuracy = static_cast<double>(sums_.hits_since_line) /
                                          static_cast<double>(sums_.since_line.n()),
                              .learning_rate = trainer_.schedule_.at(step - 1)});
    sums_.since_line = {};
    sums_.hits_since_line = 0;
  }

  std::int64_t epoch_;
  const Trainer& trainer_;
  const TrainReport& report_;
  std::vector<Pending> pending_;
  EpochSums& sums_;
};

Trainer::Trainer(nn::Model& model, const data::Dataset& data, const TrainOptions& options)
    : model_(model),
      data_(data),
      options_(checked(options, data, model.spec)),
      statistics_(data::standardisation(data.train)),
      loader_(data.train, statistics_, options.batch_size, options.device),
      arena_(make_arena(model, options)),
      optimizer_(make_optimizer(model, arena_, options)),
      average_(make_average(arena_, options.ema)),
      steps_per_epoch_(count_steps(loader_, data.train.n, model)),
      schedule_(make_schedule(options, steps_per_epoch_)) {
  model.net->move_buffers(options.device);
  loader_.augment(options.augmentation, RandomStream(options.seed, "augment"), optimizer_->steps());
  nn::use_random(*model.net, RandomStream(options.seed, "dropout"), optimizer_->steps());
}

MixedBatch Trainer::mixed(const data::Batch& batch) const {
  if (options_.mixing == Mixing{}) return {batch.images, batch.labels};
  return mix(batch.images, batch.labels, model_.spec.classes,
             {.how = options_.mixing,
              .random = RandomStream(options_.seed, "mix"),
              .step = optimizer_->steps()});
}

StepOutcome Trainer::step(const data::Batch& batch) {
  arena_.clear_gradients();
  const auto [images, targets] = mixed(batch);
  const SoftmaxCrossEntropy outcome = softmax_cross_entropy(model_(images), targets);
  backward(outcome.loss);
  arena_.complete_gradients();
  if (options_.clip_norm > 0) clip_gradient_norm(arena_.gradients(), options_.clip_norm);
  optimizer_->set_learning_rate(schedule_.at(position_.step++));
  optimizer_->step();
  if (average_ != nullptr) average_->update(optimizer_->steps());
  return {.losses = outcome.losses, .correct = outcome.correct};
}

Trainer::Averaged::Averaged(const Trainer& trainer)
    : values_(trainer.arena_.values()),
      trained_(trainer.average_ != nullptr ? values_.clone() : Tensor()) {
  if (trained_.defined()) values_.copy_from(trainer.average_->values());
}

Trainer::Averaged::~Averaged() {
  if (trained_.defined()) values_.copy_from(trained_);
}

Evaluation Trainer::evaluate(const data::ImageSet& set) const {
  const Averaged averaged(*this);
  return skeleton::evaluate(model_,
                            data::Loader(set, statistics_, kEvaluationBatch, options_.device));
}

void Trainer::resume(const Checkpoint& checkpoint) {
  checkpoint.restore(*model_.net, arena_, optimizer_state());
  position_ = checkpoint.position;
  optimizer_->set_steps(position_.step);
}

std::vector<optim::OptimizerState> Trainer::optimizer_state() const {
  std::vector<optim::OptimizerState> all = optimizer_->state();
  if (average_ != nullptr) all.push_back({"ema", average_->values()});
  return all;
}

void Trainer::save(const TrainReport& report) const {
  if (report.checkpoints != nullptr)
    report.checkpoints->save(position_, *model_.net, arena_, optimizer_state());
}

TrainResult Trainer::run(const TrainReport& report) {
  const auto start = std::chrono::steady_clock::now();
  TrainResult result;
  model_.net->train();
  const std::int64_t steps = all_steps(options_.epochs, steps_per_epoch_);
  while (position_.step < steps && result.signal == 0) {
    result.signal = train_epoch(position_.step / steps_per_epoch_ + 1, report, &result);
    result.seconds = seconds_since(start);
  }
  result.steps = position_.step;
  // A resumed training may have had nothing left to do.
  if (!result.validation && result.signal == 0 && data_.validation.n > 0)
    result.validation = evaluate(data_.validation);
  return result;
}

int Trainer::train_epoch(std::int64_t epoch, const TrainReport& report, TrainResult* result) {
  if (report.progress != nullptr) report.progress->epoch_begins(epoch);
  Epoch outcomes(epoch, *this, report, &position_.sums);
  const int signal = train_steps(&outcomes, epoch, report);
  if (signal != 0) {
    // Not log_rest(): the line would be another than that of a training which goes on.
    outcomes.read_all();
    save(report);
    return signal;
  }
  outcomes.log_rest();
  validate(epoch, report, result);
  position_.sums = {};
  save(report);
  return InterruptGuard::pending();
}

int Trainer::train_steps(Epoch* outcomes, std::int64_t epoch, const TrainReport& report) {
  const std::vector<std::int64_t> order =
      data::epoch_order(options_.seed, static_cast<std::uint32_t>(epoch - 1), data_.train.n);
  for (std::int64_t i = position_.step % steps_per_epoch_; i < steps_per_epoch_; ++i) {
    const auto first = static_cast<std::size_t>(i * options_.batch_size);
    const auto size = std::min(static_cast<std::size_t>(options_.batch_size), order.size() - first);
    const StepOutcome outcome = step(loader_.gather(std::span(order).subspan(first, size)));
    outcomes->add(position_.step, outcome);
    const bool last = i + 1 == steps_per_epoch_;
    // An epoch that is done is validated first: a resumed training would not come back to it.
    if (const int signal = InterruptGuard::pending(); signal != 0 && !last) return signal;
    if (options_.checkpoint_every > 0 && position_.step % options_.checkpoint_every == 0 && !last) {
      outcomes->read_all();
      save(report);
    }
  }
  return 0;
}

void Trainer::validate(std::int64_t epoch, const TrainReport& report, TrainResult* result) {
  const double rate = schedule_.at(position_.step - 1);
  report::EpochEnd end{.loss = estimate(position_.sums.loss),
                       .accuracy = estimate(position_.sums.accuracy),
                       .learning_rate = rate};
  if (report.progress != nullptr) report.progress->pause();
  if (data_.validation.n > 0) {
    const Evaluation validation = evaluate(data_.validation);
    result->validation = validation;
    end.validation_loss = {validation.loss, validation.loss_error};
    end.validation_accuracy = {validation.accuracy, validation.accuracy_error};
    if (report.metrics != nullptr)
      report.metrics->write({.unix_time = unix_time(),
                             .step = position_.step,
                             .epoch = epoch,
                             .split = "val",
                             .loss = validation.loss,
                             .accuracy = validation.accuracy,
                             .learning_rate = rate});
    if (!std::isfinite(validation.loss))
      fail(ExitCode::diverged,
           "train: the validation loss is {} after step {} (epoch {}); lower --lr, which is {}, or "
           "look at the data",
           validation.loss, position_.step, epoch, options_.learning_rate);
    if (validation.loss < position_.best_loss) {
      position_.best_loss = validation.loss;
      if (report.on_best) report.on_best();
    }
  }
  if (report.progress != nullptr) report.progress->epoch_ends(end);
}

}  // namespace cucina::skeleton
