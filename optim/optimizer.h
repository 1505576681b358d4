// Optimisers over flat buffers: a step is one launch, whatever the number of layers.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/tensor.h"
#include "optim/adam/adam.h"
#include "optim/sgd/sgd.h"

namespace cucina::optim {

// Two flat buffers laid out alike, as a ParameterArena has them. The first `decayed` elements are
// subject to weight decay: weights, but neither biases nor what normalisations learn.
struct Flat {
  Tensor values;
  Tensor gradients;
  std::int64_t decayed = 0;
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
  void set_learning_rate(double value);
  // How many steps were done: i32, one element, on the values' device. Random numbers of a step may
  // be addressed by it: it is constant between two calls of step().
  const Tensor& steps() const { return steps_; }
  // "adam, lr 0.0003, ..."
  virtual std::string describe() const = 0;

 protected:
  Optimizer(const Flat& flat, double learning_rate);

  // A range with its own decay. Ranges share the learning rate, but each counts its steps, as the
  // ops do.
  struct Range {
    Tensor values;
    Tensor gradients;
    double weight_decay = 0;
    Tensor steps;
    Tensor first, second;  // the op's state, as the values; undefined where it needs none
  };
  // One range without decay; with it two. The first one counts in steps().
  std::vector<Range> split(double weight_decay, int states) const;

  const Flat flat_;
  const Tensor lr_;     // f32, one element
  const Tensor steps_;  // i32, one element

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
  std::string describe() const override;

 private:
  AdamOptions options_;
  std::vector<Range> ranges_;
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
  std::string describe() const override;

 private:
  SgdOptions options_;
  std::vector<Range> ranges_;
};

}  // namespace cucina::optim
