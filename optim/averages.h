// Averages over a training's weights besides the running one (optim/optimizer.h).
#pragma once

#include <cstdint>

#include "core/tensor.h"

namespace cucina::optim {

// The mean of an optimiser's values at chosen steps, to evaluate with. What normalisations count
// over batches belongs to other weights then.
//   source   Izmailov et al. 2018, arXiv:1803.05407, algorithm 1
class StochasticAverage {
 public:
  explicit StochasticAverage(const Tensor& values);
  // Takes the values in as number `count`, the first being 0. A training that goes on gives the
  // count that it had, beside values() as they were.
  void update(std::int64_t count);
  // Laid out as the values; the values themselves at first.
  const Tensor& values() const { return average_; }

 private:
  Tensor values_, average_;
  Tensor decay_;  // f32, one element
};

// Slow values that from time to time move a part of the way to the optimiser's, which go on from
// there.
//   source   Zhang, Lucas, Hinton & Ba 2019, arXiv:1907.08610, algorithm 1
class Lookahead {
 public:
  //   throws   Error unless the part is in (0, 1]
  explicit Lookahead(const Tensor& values, double part = 0.5);
  void update();
  // Laid out as the values; the values themselves at first.
  const Tensor& slow_values() const { return slow_; }

 private:
  Tensor values_, slow_;
  Tensor decay_;  // f32, one element
};

// Limits each gradient to [-limit, limit]; NaN stays.
//   throws   Error unless the limit is positive
void clip_gradient_value(const Tensor& gradients, double limit);

}  // namespace cucina::optim
