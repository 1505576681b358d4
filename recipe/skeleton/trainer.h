// The training loop: epochs over shuffled batches, an update after each, a validation after every
// epoch.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "kernels/mix/mix.h"
#include "nn/models.h"
#include "nn/parameter_arena.h"
#include "optim/averages.h"
#include "optim/optimizer.h"
#include "optim/schedule.h"
#include "recipe/data/image_set.h"
#include "recipe/data/loader.h"
#include "recipe/report/metrics_log.h"
#include "recipe/report/progress.h"
#include "recipe/report/trace.h"
#include "recipe/skeleton/checkpoint.h"
#include "recipe/skeleton/evaluate.h"
#include "recipe/skeleton/step_graphs.h"

namespace cucina::skeleton {

// Parameters with a learning rate and a weight decay of their own.
struct ParameterGroup {
  std::string name;     // of a parameter, of all below a module ("layer1"), or with * ("*.bias")
  double lr_ratio = 1;  // its rate over the common one
  std::optional<double> weight_decay = std::nullopt;  // of all of them; nothing: as without a group
};

// Adam at 3e-4, constant: "safe" in the essay's words (tip 15), and no decay that might secretly
// end the training (tip 17).
struct TrainOptions {
  std::int64_t epochs = 2;
  std::int64_t batch_size = 8;
  std::string optimizer = "adam";  // "sgd" or "muon"
  double learning_rate = 3e-4;
  double momentum = 0;      // sgd
  bool nesterov = false;    // sgd
  double weight_decay = 0;  // adam, muon: decoupled; of weights only
  double clip_norm = 0;     // gradients whose norm is larger are scaled down to it; 0: never
  std::vector<ParameterGroup> groups = {};  // a parameter is in the first that has its name
  double clip_value = 0;  // each gradient is limited to +- this, before clip_norm; 0: never
  // The images of a step go through the network in so many parts, one after the other, which takes
  // less memory. Without normalisation over the batch gradients are those of one part, within
  // rounding; dropout draws for each part anew.
  std::int64_t accumulate = 1;
  // The format of activations; parameters, their gradients and the loss are f32. f32 or bf16.
  DType dtype = DType::f32;
  // Evaluates and saves a running average of the parameters, with this decay; 0: the parameters.
  double ema = 0;
  // Evaluates and saves the mean of the parameters after every swa_every-th step from swa_start on;
  // 0: never.
  std::int64_t swa_start = 0;
  std::int64_t swa_every = 1;
  std::int64_t lookahead = 0;  // steps between the moves of slow parameters; 0: there are none
  // Its learning rate is set to the one above, and its steps to those of all epochs where it has 0.
  optim::ScheduleOptions schedule = {};
  std::int64_t checkpoint_every = 0;  // steps, besides the end of every epoch; 0: only there
  Augmentation augmentation = {};     // of training images; off
  Mixing mixing = {};                 // of the images of a step and their targets; off
  bool graph = true;                  // on the GPU, a step is one CUDA graph
  bool detect_anomaly = false;        // stop at the first op with a NaN or Inf, and name it
  std::uint64_t seed = 1;
  Device device = Device::cpu;
};

// Where a training reports to; each may be null.
struct TrainReport {
  report::Progress* progress = nullptr;
  report::MetricsLog* metrics = nullptr;
  const CheckpointFolder* checkpoints = nullptr;
  report::Trace* trace = nullptr;
  // Called after a validation whose loss is the lowest so far.
  std::function<void()> on_best = nullptr;
  // Called with a sentence about what is not as usual.
  std::function<void(const std::string&)> note = nullptr;
};

struct TrainResult {
  std::int64_t steps = 0;                               // with those before a resume
  double seconds = 0;                                   // of training and validation
  std::optional<Evaluation> validation = std::nullopt;  // after the last epoch that was finished
  int signal = 0;                                       // not 0: stopped early, between two steps
};

// Trains a model on a data set. The same seed gives the same bits on the cpu with backend `hand`,
// whatever the number of threads.
class Trainer {
 public:
  // Moves the model's parameters into an arena on options.device. Model and data must outlive it.
  //   throws   Error when an option is out of range, or the data do not fit the model
  Trainer(nn::Model& model, const data::Dataset& data, const TrainOptions& options);
  Trainer(const Trainer&) = delete;
  Trainer& operator=(const Trainer&) = delete;

  // Goes on where a checkpoint of the same settings was made.
  //   throws   Error, exit code 3, when it is of another model or optimiser
  void resume(const Checkpoint& checkpoint);

  // Runs all epochs that are left. Stops between two steps when a signal came (InterruptGuard), and
  // with an Error of exit code 5 at the first step whose loss is not finite. A checkpoint is
  // written after every epoch, every options.checkpoint_every steps, and when a signal came.
  TrainResult run(const TrainReport& report);

  // One forward, backward and update.
  StepOutcome step(const data::Batch& batch);
  // The same for images of the training set; on the GPU as a graph, as far as the options let it.
  StepOutcome step(std::span<const std::int64_t> indices);
  // Of the averaged parameters, where there are such.
  Evaluation evaluate(const data::ImageSet& set) const;

  // While one lives, the model has the averaged parameters, where there are such: to be evaluated
  // or saved.
  class Averaged {
   public:
    explicit Averaged(const Trainer& trainer);
    ~Averaged();
    Averaged(const Averaged&) = delete;
    Averaged& operator=(const Averaged&) = delete;

   private:
    const Tensor values_;
    const Tensor trained_;  // undefined when nothing was changed
  };
  // The averaged parameters; undefined where there are none, or not yet.
  Tensor averaged_values() const;

  // Number of steps an epoch has. A last batch of a single image is left out when the model
  // normalises over the batch: its statistics would be of one image, and weigh as much in the
  // running ones as any other batch's. Each epoch's order leaves out another image.
  std::int64_t steps_per_epoch() const { return steps_per_epoch_; }
  // Why steps of a training on the GPU are no graphs, once that was tried; else empty.
  const std::string& graph_refusal() const { return graphs_.refusal(); }
  const data::ChannelStats& statistics() const { return statistics_; }
  optim::Optimizer& optimizer() { return *optimizer_; }
  const optim::Schedule& schedule() const { return schedule_; }
  const nn::ParameterArena& arena() const { return arena_; }
  // Everything that step() changes besides the model's parameters and buffers, the optimiser's
  // steps() and the position.
  std::vector<optim::OptimizerState> state() const;
  // The step that comes next, from 0: where in the schedule the training is.
  std::int64_t position() const { return position_.step; }
  void set_position(std::int64_t step) { position_.step = step; }

 private:
  class Epoch;  // reads the outcomes of one epoch's steps

  // What of a step is done on the device, but for averages.
  StepOutcome compute(const data::Batch& batch);
  // The batch, or with options.mixing its images mixed and soft targets.
  MixedBatch mixed(const data::Batch& batch) const;
  // Forward and backward of all of a step's images, or of a part with that share of the gradient.
  StepOutcome add_gradients(const Tensor& images, const Tensor& targets);
  StepOutcome add_gradients(const Tensor& images, const Tensor& targets, double share);
  // Which random numbers dropout draws from now on.
  void draw_for_part(std::int64_t part) const;
  // Before compute(), and after it.
  void begin_step();
  void end_step();
  void check_parameters() const;
  // Both return the signal that stopped them, or 0.
  int train_epoch(std::int64_t epoch, const TrainReport& report, TrainResult* result);
  int train_steps(Epoch* sums, std::int64_t epoch, const TrainReport& report);
  // Once, where steps were to be graphs and cannot.
  void tell_refusal(const TrainReport& report);
  void validate(std::int64_t epoch, const TrainReport& report, TrainResult* result);
  void save(const TrainReport& report) const;
  nn::Model& model_;
  const data::Dataset& data_;
  TrainOptions options_;
  data::ChannelStats statistics_;
  data::Loader loader_;
  nn::ParameterArena arena_;
  std::unique_ptr<optim::Optimizer> optimizer_;
  // Null without.
  std::unique_ptr<optim::Average> average_;
  std::unique_ptr<optim::StochasticAverage> stochastic_average_;
  std::unique_ptr<optim::Lookahead> lookahead_;
  std::int64_t steps_per_epoch_ = 0;
  optim::Schedule schedule_;
  Position position_;
  std::map<double, Tensor> shares_;  // on the device: a graph can take no number from the host
  StepGraphs graphs_;
  bool refusal_is_told_ = false;
  report::Trace* trace_ = nullptr;
};

}  // namespace cucina::skeleton
