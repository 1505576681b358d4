// Task: a training set-up as the checks see it. Every part is a function that may be the user's
// own; the checks run these, not a loop of their own.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "core/tensor.h"
#include "nn/module.h"
#include "optim/optimizer.h"

namespace cucina::checks {

struct Batch {
  Tensor inputs;   // (n, ...) f32, as the network's first layer reads them
  Tensor targets;  // (n) i32 classes; or (n) or (n, k) f32
  // Which examples of their split they are; empty: nobody knows.
  std::vector<std::int64_t> indices = {};
  std::int64_t size() const { return inputs.size(0); }
};

// Called with one batch after the other until it returns false.
using Visit = std::function<bool(const Batch& batch)>;
// Delivers the batches of an epoch (from 0) in the order and form in which training or evaluation
// sees them. The same epoch must give the same batches; a validation has one epoch only.
using Loader = std::function<void(std::int64_t epoch, const Visit& visit)>;

enum class LossKind : std::uint8_t { cross_entropy, binary_cross_entropy, mse, huber, other };

// What the loss is said to be; "other" when it is none of these, and some checks then skip.
struct DeclaredLoss {
  LossKind kind = LossKind::cross_entropy;
  double label_smoothing = 0;              // cross_entropy
  double delta = 1;                        // huber
  bool sum = false;                        // over examples, instead of the mean
  std::vector<double> class_weights = {};  // cross_entropy, mean: over the weights of the labels
};

struct Measured {
  double loss = 0;
  double accuracy = 0;  // 0..1; of classes only
  std::int64_t n = 0;
};

enum class OptimizerKind : std::uint8_t { other, sgd, adam };

// The rule of the updates, as torch.optim's SGD and AdamW have it; "other" when it is none of them
// or more than it (clipping, groups), and its check then skips.
struct DeclaredOptimizer {
  OptimizerKind kind = OptimizerKind::other;
  double momentum = 0;  // sgd
  bool nesterov = false;
  double beta1 = 0.9, beta2 = 0.999, eps = 1e-8;  // adam
  double weight_decay = 0;  // of tensors of two or more dimensions; sgd: L2, adam: decoupled
};

// What a training with early stopping says of itself; see Task::train_to_best.
struct Stopped {
  Measured best;
  bool at_the_end = false;  // the best weights are the last ones anyway
};

// An image that is known from elsewhere, to be found again in what the network reads.
struct Golden {
  std::int64_t index = 0;  // in the training split
  std::vector<std::uint8_t> pixels;
  std::int32_t label = 0;
};

struct Task {
  std::string name;

  // --- what is trained; task_for() sets the first two ---
  std::shared_ptr<nn::Module> model;
  std::function<Tensor(const Tensor& inputs)> forward;  // in the model's mode
  // A scalar of the outputs that can be differentiated: what step() minimises.
  std::function<Tensor(const Tensor& outputs, const Tensor& targets)> loss;
  DeclaredLoss declared = {};
  Loader train;
  Loader plain;       // the same examples without augmentation; absent where `train` has none
  Loader validation;  // absent: what needs it is skipped
  // One training step: forward, backward and update.
  std::function<void(const Batch& batch)> step;
  // The validation loss (and accuracy) as it is reported; absent: what needs it is skipped.
  std::function<Measured()> evaluate;
  // The outputs that evaluation sees, where they are not forward's in evaluation mode (those of
  // averaged parameters, say); absent: they are.
  std::function<Tensor(const Tensor& inputs)> evaluated;
  // Trains a little as the whole training does, with its early stopping: the model is left with
  // the weights that the training would return, and what was recorded for them is returned. Absent:
  // there is no early stopping.
  std::function<Stopped()> train_to_best;

  // --- what a step changes besides parameters and buffers: nothing of it may be missing ---
  std::vector<nn::NamedTensor> state;  // an optimiser's; see add_state()
  std::function<std::vector<double>()> save;
  std::function<void(const std::vector<double>& saved)> restore;  // what save() returned

  // --- what is known or intended; the defaults say nothing ---
  int classes = 0;  // 0: not a classification
  std::vector<std::string> class_names;
  std::vector<double> mean, stddev;  // input = (pixel - mean) / stddev, by channel; empty: unknown
  double max_value = 255;            // of a pixel
  std::vector<Golden> golden;
  // What the weights that training begins with were made for, from their metadata; empty: nothing.
  std::vector<double> pretrained_mean, pretrained_stddev;
  // How often the test split was read so far (see counted()); absent: nobody counts.
  std::function<std::int64_t()> test_reads;
  std::int64_t train_examples = 0;                    // that an epoch should deliver; 0: unknown
  std::function<double(std::int64_t step)> schedule;  // the learning rate of a step, from 0
  double learning_rate = 0;                           // the highest that is meant; 0: unknown
  DeclaredOptimizer optimizer = {};
  std::int64_t total_steps = 0;     // of the whole training
  bool decays = false;              // the schedule is meant to fall
  bool mixes_targets = false;       // step() mixes examples and their targets
  double rounding = 6e-8;           // of activations, relative; bf16: 4e-3
  bool clips_values = false;        // step() limits gradients one by one
  int parts = 1;                    // step() takes a batch in so many, normalised each by itself
  int steps_per_update = 1;         // step() updates after so many calls
  bool informative = true;          // false: inputs say nothing about targets, by design
  bool causal = false;              // outputs (n, t, ...) may look at inputs (n, t, ...) up to t
  std::vector<std::string> frozen;  // beginnings of names of parameters that are not to move
  std::vector<int> absent;          // classes that validation lacks, by design
  // The same task `width` times as wide, initialised from `seed`.
  std::function<std::shared_ptr<Task>(double width, std::uint64_t seed)> widened;
  // Two people's labels of the same examples.
  std::vector<std::int32_t> first_annotation, second_annotation;
  double model_accuracy = 0;  // to compare with people's; 0: unknown
};

// A task around `model`, its forward, and what it has frozen.
Task task_for(std::shared_ptr<nn::Module> model);

// A loader that counts how often it is called.
struct Counted {
  Loader loader;
  std::function<std::int64_t()> reads;
};
Counted counted(Loader loader);

// Adds an optimiser's moments, steps and learning rate to what a step changes.
void add_state(Task* task, optim::Optimizer& optimizer);

// What a check may change and has to leave as it was: parameters, buffers, task.state, task.save()
// and the mode of every module.
class Snapshot {
 public:
  explicit Snapshot(const Task& task);
  // Brings all of it back; gradients are forgotten, unless `keep_gradients`.
  void restore(bool keep_gradients = false) const;
  // SHA-256 of everything in it.
  std::string fingerprint() const;

 private:
  const Task& task_;
  std::vector<nn::NamedTensor> tensors_;  // the task's own
  std::vector<Tensor> values_;            // copies
  std::vector<double> saved_;
  std::vector<bool> training_;
};

// Every tensor that a Snapshot holds.
std::vector<nn::NamedTensor> tensors_of(const Task& task);

bool is_frozen(const Task& task, const std::string& parameter);

}  // namespace cucina::checks
