// Runs training steps and reports them.
#include "recipe/skeleton/trainer.h"

#include <chrono>
#include <cmath>
#include <limits>
#include <optional>
#include <span>
#include <vector>

#include "core/autograd.h"
#include "core/error.h"
#include "kernels/cast/cast.h"
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
constexpr std::int64_t kStepsAhead = 16;

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
  if (options.accumulate < 1 || options.accumulate > options.batch_size)
    fail("train: a step of {} images in {} parts; give 1 to {}", options.batch_size,
         options.accumulate, options.batch_size);
  if (options.dtype != DType::f32 && options.dtype != DType::bf16)
    fail("train: activations in {}; choose f32 or bf16", name(options.dtype));
  if (options.ema > 0 && options.swa_start > 0)
    fail("train: both a running average (decay {}) and the mean from step {} on; choose one",
         options.ema, options.swa_start);
  if (options.swa_every < 1)
    fail("train: the mean of every {}-th step; give 1 or more", options.swa_every);
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

// What layers count on the host.
std::vector<Tensor> counters(const nn::Module& module) {
  std::vector<Tensor> found;
  for (const nn::NamedTensor& buffer : module.buffers())
    if (buffer.tensor.dtype() == DType::i32 && buffer.tensor.device() == Device::cpu)
      found.push_back(buffer.tensor);
  return found;
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
    if (trainer_.options_.device == Device::cpu)
      return read(step, outcome.losses.to_vector<float>(),
                  outcome.correct.to_vector<std::int32_t>());
    const std::int64_t size = trainer_.options_.batch_size, n = outcome.losses.elements();
    if (!losses_.defined()) {
      losses_ = Tensor::empty({kStepsAhead * size}, DType::f32, Device::cuda);
      correct_ = Tensor::empty({kStepsAhead * size}, DType::i32, Device::cuda);
    }
    const std::int64_t begin = pending_.empty() ? 0 : pending_.back().end;
    losses_.rows(begin, begin + n).copy_from(outcome.losses);
    correct_.rows(begin, begin + n).copy_from(outcome.correct);
    pending_.push_back({step, begin, begin + n});
    if (std::ssize(pending_) >= kStepsAhead) read_all();
  }

  void read_all() {
    if (pending_.empty()) return;
    const auto losses = losses_.rows(0, pending_.back().end).to_vector<float>();
    const auto correct = correct_.rows(0, pending_.back().end).to_vector<std::int32_t>();
    for (const auto& [step, begin, end] : pending_)
      read(step, {losses.begin() + begin, losses.begin() + end},
           {correct.begin() + begin, correct.begin() + end});
    pending_.clear();
  }

  void log_rest() {
    read_all();
    if (sums_.since_line.n() > 0) log(trainer_.position_.step);
  }

 private:
  struct Pending {
    std::int64_t step;
    std::int64_t begin, end;  // its images in losses_ and correct_
  };

  void read(std::int64_t step, const std::vector<float>& losses,
            const std::vector<std::int32_t>& correct) {
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
  // Of the steps that were not read yet, on the GPU.
  std::vector<Pending> pending_;
  Tensor losses_, correct_;
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
      stochastic_average_(options.swa_start > 0
                              ? std::make_unique<optim::StochasticAverage>(arena_.values())
                              : nullptr),
      lookahead_(options.lookahead > 0 ? std::make_unique<optim::Lookahead>(arena_.values())
                                       : nullptr),
      steps_per_epoch_(count_steps(loader_, data.train.n, model)),
      schedule_(make_schedule(options, steps_per_epoch_)),
      graphs_([this](const Tensor& choice) { return compute(loader_.gather(choice)); },
              counters(*model.net)) {
  model.net->move_buffers(options.device);
  loader_.augment(options.augmentation, RandomStream(options.seed, "augment"), optimizer_->steps());
  draw_for_part(0);
}

void Trainer::draw_for_part(std::int64_t part) const {
  const std::string stream = part == 0 ? "dropout" : fmt::format("dropout of part {}", part);
  nn::use_random(*model_.net, RandomStream(options_.seed, stream), optimizer_->steps());
}

MixedBatch Trainer::mixed(const data::Batch& batch) const {
  if (options_.mixing == Mixing{}) return {batch.images, batch.labels};
  return mix(batch.images, batch.labels, model_.spec.classes,
             {.how = options_.mixing,
              .random = RandomStream(options_.seed, "mix"),
              .step = optimizer_->steps()});
}

StepOutcome Trainer::step(const data::Batch& batch) {
  begin_step();
  const StepOutcome outcome = compute(batch);
  end_step();
  return outcome;
}

StepOutcome Trainer::step(std::span<const std::int64_t> indices) {
  // Whoever looks at each op needs each op.
  const bool as_graph = options_.graph && options_.device == Device::cuda &&
                        !options_.detect_anomaly && trace_ == nullptr;
  if (as_graph) {
    begin_step();
    const StepOutcome outcome = graphs_.run(loader_, indices);
    end_step();
    return outcome;
  }
  std::optional<report::Trace::Part> part;
  part.emplace(trace_, "gather");
  const data::Batch batch = loader_.gather(indices);
  part.reset();
  return step(batch);
}

StepOutcome Trainer::compute(const data::Batch& batch) {
  std::optional<DetectAnomaly> detect;
  if (options_.detect_anomaly) detect.emplace();
  arena_.clear_gradients();
  const auto [images, targets] = mixed(batch);
  const StepOutcome outcome = add_gradients(images, targets);
  arena_.complete_gradients();
  const report::Trace::Part part(trace_, "update");
  if (options_.clip_value > 0) optim::clip_gradient_value(arena_.gradients(), options_.clip_value);
  if (options_.clip_norm > 0) clip_gradient_norm(arena_.gradients(), options_.clip_norm);
  optimizer_->step();
  if (options_.detect_anomaly) check_parameters();
  return outcome;
}

StepOutcome Trainer::add_gradients(const Tensor& images, const Tensor& targets) {
  const std::int64_t n = images.size(0), parts = std::min(options_.accumulate, n);
  if (parts == 1) return add_gradients(images, targets, 1);
  const StepOutcome all{.losses = Tensor::empty({n}, DType::f32, images.device()),
                        .correct = Tensor::empty({n}, DType::i32, images.device())};
  for (std::int64_t part = 0; part < parts; ++part) {
    const std::int64_t begin = n * part / parts, end = n * (part + 1) / parts;
    draw_for_part(part);
    const StepOutcome outcome =
        add_gradients(images.rows(begin, end), targets.rows(begin, end),
                      static_cast<double>(end - begin) / static_cast<double>(n));
    all.losses.rows(begin, end).copy_from(outcome.losses);
    all.correct.rows(begin, end).copy_from(outcome.correct);
  }
  draw_for_part(0);
  return all;
}

StepOutcome Trainer::add_gradients(const Tensor& images, const Tensor& targets, double share) {
  const Tensor logits = cast(model_(cast(images, options_.dtype)), DType::f32);
  const SoftmaxCrossEntropy outcome = softmax_cross_entropy(logits, targets);
  Tensor& of_gradient = shares_[share];
  if (!of_gradient.defined()) of_gradient = Tensor::full({}, share, DType::f32, images.device());
  backward(outcome.loss, {}, of_gradient);
  return {.losses = outcome.losses, .correct = outcome.correct};
}

void Trainer::begin_step() { optimizer_->set_learning_rate(schedule_.at(position_.step)); }

void Trainer::end_step() {
  const std::int64_t step = ++position_.step;
  if (lookahead_ != nullptr && step % options_.lookahead == 0) lookahead_->update();
  if (average_ != nullptr) average_->update(optimizer_->steps());
  const std::int64_t since = step - options_.swa_start;
  if (stochastic_average_ != nullptr && since >= 0 && since % options_.swa_every == 0)
    stochastic_average_->update(since / options_.swa_every);
}

void Trainer::check_parameters() const {
  for (const nn::ParameterArena::Slot& slot : arena_.slots())
    check_finite(fmt::format("{}: after its step {}", options_.optimizer, slot.name),
                 slot.parameter);
}

Tensor Trainer::averaged_values() const {
  if (average_ != nullptr) return average_->values();
  if (stochastic_average_ != nullptr && position_.step >= options_.swa_start)
    return stochastic_average_->values();
  return {};
}

Trainer::Averaged::Averaged(const Trainer& trainer)
    : values_(trainer.arena_.values()),
      trained_(trainer.averaged_values().defined() ? values_.clone() : Tensor()) {
  if (trained_.defined()) values_.copy_from(trainer.averaged_values());
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
  checkpoint.restore(*model_.net, arena_, state());
  position_ = checkpoint.position;
  optimizer_->set_steps(position_.step);
}

std::vector<optim::OptimizerState> Trainer::state() const {
  std::vector<optim::OptimizerState> all = optimizer_->state();
  if (average_ != nullptr) all.push_back({"ema", average_->values()});
  if (stochastic_average_ != nullptr) all.push_back({"swa", stochastic_average_->values()});
  if (lookahead_ != nullptr) all.push_back({"lookahead", lookahead_->slow_values()});
  return all;
}

void Trainer::save(const TrainReport& report) const {
  if (report.checkpoints != nullptr)
    report.checkpoints->save(position_, *model_.net, arena_, state());
}

TrainResult Trainer::run(const TrainReport& report) {
  const auto start = std::chrono::steady_clock::now();
  TrainResult result;
  model_.net->train();
  trace_ = report.trace;
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
    if (trace_ != nullptr) trace_->begin_step(position_.step);
    const StepOutcome outcome = [&] {
      const report::Trace::Part whole(trace_, "step");
      return step(std::span(order).subspan(first, size));
    }();
    outcomes->add(position_.step, outcome);
    tell_refusal(report);
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

void Trainer::tell_refusal(const TrainReport& report) {
  if (graphs_.refusal().empty() || refusal_is_told_) return;
  refusal_is_told_ = true;
  if (report.progress != nullptr) report.progress->pause();
  if (report.note)
    report.note("steps run without a CUDA graph, one kernel after the other: " + graphs_.refusal());
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
