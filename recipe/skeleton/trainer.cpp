// Runs training steps and reports them.
#include "recipe/skeleton/trainer.h"

#include <chrono>
#include <cmath>
#include <span>
#include <vector>

#include "core/autograd.h"
#include "core/error.h"
#include "kernels/softmax_cross_entropy/softmax_cross_entropy.h"
#include "recipe/skeleton/interrupt.h"

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

std::unique_ptr<optim::Optimizer> make_optimizer(const nn::ParameterArena& arena,
                                                 const TrainOptions& options) {
  const optim::Flat flat{
      .values = arena.values(), .gradients = arena.gradients(), .decayed = arena.weight_elements()};
  if (options.optimizer == "adam")
    return std::make_unique<optim::Adam>(flat,
                                         optim::AdamOptions{.learning_rate = options.learning_rate,
                                                            .weight_decay = options.weight_decay});
  if (options.optimizer == "sgd")
    return std::make_unique<optim::Sgd>(flat,
                                        optim::SgdOptions{.learning_rate = options.learning_rate,
                                                          .momentum = options.momentum,
                                                          .weight_decay = options.weight_decay});
  fail("optimizer '{}' is unknown; choose adam or sgd", options.optimizer);
}

}  // namespace

// Reads outcomes in the order of the steps, adds them up, and reports.
class Trainer::Epoch {
 public:
  Epoch(std::int64_t epoch, const Trainer& trainer, const TrainReport& report)
      : epoch_(epoch), trainer_(trainer), report_(report) {}

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
    if (since_line_.n() > 0) log(last_step_);
  }

  const MeanAccumulator& loss() const { return loss_; }
  const MeanAccumulator& accuracy() const { return accuracy_; }

 private:
  struct Pending {
    std::int64_t step;
    StepOutcome outcome;
  };

  void read(std::int64_t step, const StepOutcome& outcome) {
    const std::vector<float> losses = outcome.losses.to_vector<float>();
    const std::vector<std::int32_t> correct = outcome.correct.to_vector<std::int32_t>();
    for (std::size_t i = 0; i < losses.size(); ++i) {
      loss_.add(losses[i]);
      accuracy_.add(correct[i]);
      since_line_.add(losses[i]);
      hits_since_line_ += correct[i];
    }
    last_step_ = step;
    if (!std::isfinite(loss_.mean())) {
      log(step);
      fail(ExitCode::diverged,
           "train: the loss is {} at step {} (epoch {}); lower --lr, which is {}, or look at the "
           "data",
           loss_.mean(), step, epoch_, trainer_.options_.learning_rate);
    }
    if (step % kStepsPerLogLine == 0) log(step);
    if (report_.progress != nullptr)
      report_.progress->step({.step = step - (epoch_ - 1) * trainer_.steps_per_epoch_,
                              .images = static_cast<std::int64_t>(losses.size()),
                              .loss = estimate(loss_),
                              .accuracy = estimate(accuracy_),
                              .learning_rate = trainer_.optimizer_->learning_rate()});
  }

  // The steps since the last line, as one line.
  void log(std::int64_t step) {
    if (report_.metrics != nullptr)
      report_.metrics->write(
          {.unix_time = unix_time(),
           .step = step,
           .epoch = epoch_,
           .split = "train",
           .loss = since_line_.mean(),
           .accuracy = static_cast<double>(hits_since_line_) / static_cast<double>(since_line_.n()),
           .learning_rate = trainer_.optimizer_->learning_rate()});
    since_line_ = {};
    hits_since_line_ = 0;
  }

  std::int64_t epoch_;
  const Trainer& trainer_;
  const TrainReport& report_;
  std::vector<Pending> pending_;
  MeanAccumulator loss_;
  MeanAccumulator accuracy_;
  MeanAccumulator since_line_;
  std::int64_t hits_since_line_ = 0;
  std::int64_t last_step_ = 0;
};

Trainer::Trainer(nn::Model& model, const data::Dataset& data, const TrainOptions& options)
    : model_(model),
      data_(data),
      options_(checked(options, data, model.spec)),
      statistics_(data::standardisation(data.train)),
      loader_(data.train, statistics_, options.batch_size, options.device),
      arena_(*model.net, options.device),
      optimizer_(make_optimizer(arena_, options)),
      steps_per_epoch_(loader_.batches()) {
  model.net->move_buffers(options.device);
  nn::use_random(*model.net, RandomStream(options.seed, "dropout"), optimizer_->steps());
  const bool single = data.train.n % options.batch_size == 1 && options.batch_size > 1;
  if (single && data.train.n > 1 && nn::has_batch_norm(*model.net)) --steps_per_epoch_;
}

StepOutcome Trainer::step(const data::Batch& batch) {
  arena_.clear_gradients();
  const SoftmaxCrossEntropy outcome = softmax_cross_entropy(model_(batch.images), batch.labels);
  backward(outcome.loss);
  arena_.complete_gradients();
  optimizer_->step();
  return {.losses = outcome.losses, .correct = outcome.correct};
}

Evaluation Trainer::evaluate(const data::ImageSet& set) const {
  return skeleton::evaluate(model_,
                            data::Loader(set, statistics_, kEvaluationBatch, options_.device));
}

TrainResult Trainer::run(const TrainReport& report) {
  const auto start = std::chrono::steady_clock::now();
  TrainResult result;
  model_.net->train();
  for (std::int64_t epoch = 1; epoch <= options_.epochs && result.signal == 0; ++epoch) {
    train_epoch(epoch, report, &result);
    result.seconds = seconds_since(start);
  }
  return result;
}

void Trainer::train_epoch(std::int64_t epoch, const TrainReport& report, TrainResult* result) {
  if (report.progress != nullptr) report.progress->epoch_begins(epoch);
  const std::vector<std::int64_t> order =
      data::epoch_order(options_.seed, static_cast<std::uint32_t>(epoch - 1), data_.train.n);
  Epoch sums(epoch, *this, report);
  for (std::int64_t i = 0; i < steps_per_epoch_; ++i) {
    const auto first = static_cast<std::size_t>(i * options_.batch_size);
    const auto size = std::min(static_cast<std::size_t>(options_.batch_size), order.size() - first);
    const StepOutcome outcome = step(loader_.gather(std::span(order).subspan(first, size)));
    sums.add(++result->steps, outcome);
    result->signal = InterruptGuard::pending();
    if (result->signal != 0) break;
  }
  sums.log_rest();
  if (result->signal != 0) return;

  report::EpochEnd end{.loss = estimate(sums.loss()),
                       .accuracy = estimate(sums.accuracy()),
                       .learning_rate = optimizer_->learning_rate()};
  if (report.progress != nullptr) report.progress->pause();
  if (data_.validation.n > 0) {
    const Evaluation validation = evaluate(data_.validation);
    result->validation = validation;
    end.validation_loss = {validation.loss, validation.loss_error};
    end.validation_accuracy = {validation.accuracy, validation.accuracy_error};
    if (report.metrics != nullptr)
      report.metrics->write({.unix_time = unix_time(),
                             .step = result->steps,
                             .epoch = epoch,
                             .split = "val",
                             .loss = validation.loss,
                             .accuracy = validation.accuracy,
                             .learning_rate = optimizer_->learning_rate()});
    if (!std::isfinite(validation.loss))
      fail(ExitCode::diverged,
           "train: the validation loss is {} after step {} (epoch {}); lower --lr, which is {}, or "
           "look at the data",
           validation.loss, result->steps, epoch, options_.learning_rate);
  }
  if (report.progress != nullptr) report.progress->epoch_ends(end);
}

}  // namespace cucina::skeleton
