// The training loop: epochs over shuffled batches, an update after each, a validation after every
// epoch.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "nn/models.h"
#include "nn/parameter_arena.h"
#include "optim/optimizer.h"
#include "recipe/data/image_set.h"
#include "recipe/data/loader.h"
#include "recipe/report/metrics_log.h"
#include "recipe/report/progress.h"
#include "recipe/skeleton/evaluate.h"

namespace cucina::skeleton {

// Adam at 3e-4, constant: "safe" in the essay's words (tip 15), and no decay that might secretly
// end the training (tip 17).
struct TrainOptions {
  std::int64_t epochs = 2;
  std::int64_t batch_size = 8;
  std::string optimizer = "adam";  // or "sgd"
  double learning_rate = 3e-4;
  double momentum = 0;      // sgd
  double weight_decay = 0;  // adam: decoupled; of weights only
  std::uint64_t seed = 1;
  Device device = Device::cpu;
};

// Where a training reports to; both may be null.
struct TrainReport {
  report::Progress* progress = nullptr;
  report::MetricsLog* metrics = nullptr;
};

struct TrainResult {
  std::int64_t steps = 0;
  double seconds = 0;                                   // of training and validation
  std::optional<Evaluation> validation = std::nullopt;  // after the last epoch that was finished
  int signal = 0;                                       // not 0: stopped early, between two steps
};

// Images of one training step and what the model made of them.
struct StepOutcome {
  Tensor losses;   // one per image
  Tensor correct;  // i32, 1 or 0
};

// Trains a model on a data set. The same seed gives the same bits on the cpu with backend `hand`,
// whatever the number of threads.
class Trainer {
 public:
  // Moves the model's parameters into an arena on options.device. Model and data must outlive it.
  //   throws   Error when an option is out of range, or the data do not fit the model
  Trainer(nn::Model& model, const data::Dataset& data, const TrainOptions& options);

  // Runs all epochs. Stops between two steps when a signal came (InterruptGuard), and with an Error
  // of exit code 5 at the first step whose loss is not finite.
  TrainResult run(const TrainReport& report);

  // One forward, backward and update.
  StepOutcome step(const data::Batch& batch);
  Evaluation evaluate(const data::ImageSet& set) const;

  // Number of steps an epoch has. A last batch of a single image is left out when the model
  // normalises over the batch: its statistics would be of one image, and weigh as much in the
  // running ones as any other batch's. Each epoch's order leaves out another image.
  std::int64_t steps_per_epoch() const { return steps_per_epoch_; }
  const data::ChannelStats& statistics() const { return statistics_; }
  optim::Optimizer& optimizer() { return *optimizer_; }
  const nn::ParameterArena& arena() const { return arena_; }

 private:
  class Epoch;  // what one epoch has added up so far

  void train_epoch(std::int64_t epoch, const TrainReport& report, TrainResult* result);

  nn::Model& model_;
  const data::Dataset& data_;
  TrainOptions options_;
  data::ChannelStats statistics_;
  data::Loader loader_;
  nn::ParameterArena arena_;
  std::unique_ptr<optim::Optimizer> optimizer_;
  std::int64_t steps_per_epoch_ = 0;
};

}  // namespace cucina::skeleton
