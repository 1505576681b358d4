// Shows a Trainer's parts to the checks.
#include "recipe/check/trainer_task.h"

#include <algorithm>

#include "kernels/cast/cast.h"
#include "kernels/softmax_cross_entropy/softmax_cross_entropy.h"

namespace cucina::checks {
namespace {

constexpr std::int64_t kValidationBatch = 256;
constexpr std::int64_t kGolden = 8;

Batch from(data::Batch batch, std::span<const std::int64_t> indices) {
  return {std::move(batch.images), std::move(batch.labels), {indices.begin(), indices.end()}};
}

// The batches that the training would see, whatever its position: augmentation draws by step.
Loader shuffled(const data::Dataset& data, const data::ChannelStats& stats,
                const skeleton::TrainOptions& options, std::int64_t steps_per_epoch,
                const Augmentation& augmentation) {
  const auto loader =
      std::make_shared<data::Loader>(data.train, stats, options.batch_size, options.device);
  const Tensor step = Tensor::zeros({1}, DType::i32, options.device);
  loader->augment(augmentation, RandomStream(options.seed, "augment"), step);
  return [=, &data, seed = options.seed, size = options.batch_size](std::int64_t epoch,
                                                                    const Visit& visit) {
    const std::vector<std::int64_t> order =
        data::epoch_order(seed, static_cast<std::uint32_t>(epoch), data.train.n);
    for (std::int64_t i = 0; i < steps_per_epoch; ++i) {
      const auto first = static_cast<std::size_t>(i * size);
      const auto indices = std::span(order).subspan(
          first, std::min(static_cast<std::size_t>(size), order.size() - first));
      step.fill(static_cast<double>(epoch * steps_per_epoch + i));
      if (!visit(from(loader->gather(indices), indices))) return;
    }
  };
}

Loader in_order(const data::ImageSet& set, const data::ChannelStats& stats, Device device) {
  const auto loader = std::make_shared<data::Loader>(set, stats, kValidationBatch, device);
  return [loader](std::int64_t, const Visit& visit) {
    for (std::int64_t i = 0; i < loader->batches(); ++i) {
      data::Batch batch = loader->in_order(i);
      std::vector<std::int64_t> indices;
      for (std::int64_t j = 0; j < batch.size(); ++j) indices.push_back(i * kValidationBatch + j);
      if (!visit(from(std::move(batch), indices))) return;
    }
  };
}

void add_trainers_state(Task* task, skeleton::Trainer& trainer) {
  for (const optim::OptimizerState& state : trainer.state())
    task->state.push_back({state.name + "." + std::to_string(state.offset), state.tensor, {}});
  task->save = [&trainer] {
    return std::vector<double>{trainer.optimizer().learning_rate(),
                               static_cast<double>(trainer.position())};
  };
  task->restore = [&trainer](const std::vector<double>& saved) {
    const auto step = static_cast<std::int64_t>(saved[1]);
    trainer.optimizer().set_learning_rate(saved[0]);
    trainer.optimizer().set_steps(step);
    trainer.set_position(step);
  };
}

// Of options that are a plain optimiser's.
DeclaredOptimizer declared(const skeleton::TrainOptions& options) {
  const bool more = options.clip_norm > 0 || options.clip_value > 0 || options.accumulate > 1 ||
                    options.lookahead > 0 || !options.groups.empty() || options.dtype != DType::f32;
  DeclaredOptimizer how{.momentum = options.momentum,
                        .nesterov = options.nesterov,
                        .weight_decay = options.weight_decay};
  if (!more && options.optimizer == "adam") how.kind = OptimizerKind::adam;
  if (!more && options.optimizer == "sgd") how.kind = OptimizerKind::sgd;
  return how;
}

// As Trainer::evaluate() has it: of averaged parameters, in f32.
void show_evaluation(Task* task, const skeleton::Trainer& trainer, const nn::Model& model,
                     const skeleton::TrainOptions& options) {
  if (options.ema == 0 && options.swa_start == 0 && options.dtype == DType::f32) return;
  task->evaluated = [&trainer, net = model.net](const Tensor& inputs) {
    const skeleton::Trainer::Averaged averaged(trainer);
    return net->forward(inputs);
  };
}

}  // namespace

Task task_of(skeleton::Trainer& trainer, const nn::Model& model, const data::Dataset& data,
             const skeleton::TrainOptions& options) {
  Task task = task_for(model.net);
  const data::ChannelStats& stats = trainer.statistics();
  task.name = model.spec.name + " on " + data.name;
  if (options.dtype != DType::f32) {
    task.rounding = 4e-3;
    task.forward = [net = model.net, dtype = options.dtype](const Tensor& inputs) {
      return cast(net->forward(cast(inputs, dtype)), DType::f32);
    };
  }
  show_evaluation(&task, trainer, model, options);
  task.loss = [](const Tensor& outputs, const Tensor& targets) {
    return softmax_cross_entropy(outputs, targets).loss;
  };
  const std::int64_t steps = trainer.steps_per_epoch();
  task.train = shuffled(data, stats, options, steps, options.augmentation);
  if (is_random(options.augmentation)) task.plain = shuffled(data, stats, options, steps, {});
  task.step = [&trainer](const Batch& batch) { trainer.step({batch.inputs, batch.targets}); };
  if (data.validation.n > 0) {
    task.validation = in_order(data.validation, stats, options.device);
    task.evaluate = [&trainer, &data] {
      const skeleton::Evaluation result = trainer.evaluate(data.validation);
      return Measured{result.loss, result.accuracy, result.n};
    };
  }
  add_trainers_state(&task, trainer);
  task.classes = data.train.classes;
  task.class_names = data.class_names;
  task.mean = stats.mean;
  task.stddev = stats.stddev;
  task.max_value = data.max_value;
  // Those that come first, so that they are soon found again.
  std::vector<std::int64_t> order = data::epoch_order(options.seed, 0, data.train.n);
  order.resize(static_cast<std::size_t>(std::min(kGolden, data.train.n)));
  for (const std::int64_t i : order) {
    const auto pixels = data.train.image(i);
    task.golden.push_back(
        {i, {pixels.begin(), pixels.end()}, data.train.labels[static_cast<std::size_t>(i)]});
  }
  task.train_examples = data.train.n;
  task.schedule = [schedule = trainer.schedule()](std::int64_t step) { return schedule.at(step); };
  task.learning_rate = options.learning_rate;
  task.optimizer = declared(options);
  task.clips_values = options.clip_value > 0;
  task.parts = static_cast<int>(std::min(options.accumulate, options.batch_size));
  task.total_steps = options.epochs * steps;
  task.decays = trainer.schedule().options().kind != optim::ScheduleKind::constant;
  task.mixes_targets = options.mixing != Mixing{};
  return task;
}

}  // namespace cucina::checks
