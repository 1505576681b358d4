// Optimisers over flat buffers, and averages of what they make: Adam and SGD take one launch a
// step, whatever the number of layers.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "core/tensor.h"
#include "optim/adam/adam.h"
#include "optim/common/step_state.h"
#include "optim/muon/muon.h"
#include "optim/sgd/sgd.h"

namespace cucina::optim {

// Two flat buffers laid out alike, as a ParameterArena has them. The first `decayed` elements are
// subject to weight decay: weights, but neither biases nor what normalisations learn.
struct Flat {
  Tensor values;
  Tensor gradients;
  std::int64_t decayed = 0;
  // Parameters begin at multiples of so many elements; what lies between two of them is not used.
  std::int64_t alignment = 1;
  // A bf16 buffer of the same size, which each step leaves holding the values, rounded: what a
  // network in mixed precision computes with. Undefined: not wanted.
  Tensor bf16_values = {};
};

// The elements [begin, end).
Flat part(const Flat& flat, std::int64_t begin, std::int64_t end);

// What an optimiser remembers from step to step, for checkpoints: shares the optimiser's memory.
struct OptimizerState {
  std::string name;  // PyTorch's: "exp_avg"
  Tensor tensor;     // flat, of the values [offset, offset + elements)
  std::int64_t offset = 0;
};

// Changes the values it was made with. The learning rate and the number of steps live on their
// device, so that a step can be captured and replayed.
class Optimizer {
 public:
  virtual ~Optimizer() = default;
  Optimizer(const Optimizer&) = delete;
  Optimizer& operator=(const Optimizer&) = delete;

  // Every gradient must be in place: ParameterArena::complete_gradients().
  virtual void step() = 0;

  double learning_rate() const { return learning_rate_; }
  // throws   Error when it is negative or not finite
  virtual void set_learning_rate(double value);
  // How many steps were done: i32, one element, on the values' device. Random numbers of a step may
  // be addressed by it: it is constant between two calls of step().
  virtual const Tensor& steps() const { return state_.step; }
  // Everything else that the next step depends on but the values and the learning rate. Writing to
  // these tensors and to those of set_steps() brings back an earlier state.
  virtual std::vector<OptimizerState> state() const = 0;
  // As if so many steps had been done.
  virtual void set_steps(std::int64_t steps);
  // "adam, lr 0.0003, ..."
  virtual std::string describe() const = 0;

 protected:
  Optimizer(const Flat& flat, double learning_rate);

  // Zeros, as many and of the dtype the values have: an op's state.
  Tensor zeros_like_values() const;

  const Flat flat_;
  const StepState state_;

 private:
  double learning_rate_ = 0;
};

struct AdamOptions {
  double learning_rate = 3e-4;
  double beta1 = 0.9;
  double beta2 = 0.999;
  double eps = 1e-8;
  double weight_decay = 0;  // decoupled: AdamW
};

class Adam : public Optimizer {
 public:
  explicit Adam(const Flat& flat, const AdamOptions& options = {});
  void step() override;
  std::vector<OptimizerState> state() const override;
  std::string describe() const override;

 private:
  AdamOptions options_;
  Tensor exp_avg_, exp_avg_sq_;
};

struct SgdOptions {
  double learning_rate = 0.01;
  double momentum = 0;
  double weight_decay = 0;  // added to the gradient
  bool nesterov = false;
};

class Sgd : public Optimizer {
 public:
  explicit Sgd(const Flat& flat, const SgdOptions& options = {});
  void step() override;
  std::vector<OptimizerState> state() const override;
  std::string describe() const override;

 private:
  SgdOptions options_;
  Tensor momentum_buffer_;  // undefined without momentum
};

struct MuonOptions {
  double learning_rate = 0.02;
  double momentum = 0.95;
  bool nesterov = true;
  int iterations = 5;       // of Newton and Schulz
  double weight_decay = 0;  // decoupled
  // For what is no matrix. Its learning rate keeps its ratio to Muon's when that is set.
  AdamOptions rest = {};
};

// Muon for `matrices` (hidden layers, by the authors' advice: neither the first nor the last), Adam
// for everything else.
class Muon : public Optimizer {
 public:
  //   throws   Error when a matrix is empty or not within the values, or two overlap
  Muon(const Flat& flat, const std::vector<MuonMatrix>& matrices, const MuonOptions& options = {});
  void step() override;
  void set_learning_rate(double value) override;
  std::vector<OptimizerState> state() const override;
  void set_steps(std::int64_t steps) override;
  std::string describe() const override;

 private:
  MuonOptions options_;
  std::vector<MuonMatrix> matrices_;
  Tensor momentum_buffer_;
  // One for each gap between matrices, with where it begins.
  struct Rest {
    std::int64_t offset;
    std::unique_ptr<Adam> adam;
  };
  std::vector<Rest> rest_;
};

struct AverageOptions {
  double decay = 0.999;
  bool warm_up = true;  // min(decay, (1 + t) / (10 + t)) after t steps
};

// A running average of an optimiser's values, to evaluate with.
class Average {
 public:
  //   throws   Error unless the decay is in [0, 1]
  explicit Average(const Tensor& values, const AverageOptions& options = {});
  // Moves towards the values; `steps` is the optimiser's count.
  void update(const Tensor& steps);
  // Laid out as the values; the values themselves at first.
  const Tensor& values() const { return average_; }

 private:
  AverageOptions options_;
  Tensor values_, average_;
  Tensor decay_;  // f32, one element
};

}  // namespace cucina::optim
