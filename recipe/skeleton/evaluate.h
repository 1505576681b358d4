// Tip 3, add significant digits: a model is measured on the whole split, with the standard error.
#pragma once

#include <cstdint>
#include <vector>

#include "nn/models.h"
#include "recipe/data/loader.h"

namespace cucina::skeleton {

// A running mean of numbers and of its standard error, in f64.
//   source   Welford 1962, "Note on a method for calculating corrected sums of squares and
//   products"
class MeanAccumulator {
 public:
  struct State {
    std::int64_t n = 0;
    double mean = 0;
    double squares = 0;  // sum of (value - mean)^2
  };

  MeanAccumulator() = default;
  // Goes on from a state().
  explicit MeanAccumulator(const State& state) : state_(state) {}

  void add(double value) {
    ++state_.n;
    const double before = value - state_.mean;
    state_.mean += before / static_cast<double>(state_.n);
    state_.squares += before * (value - state_.mean);
  }
  const State& state() const { return state_; }
  std::int64_t n() const { return state_.n; }
  double mean() const { return state_.mean; }
  // The deviation of single values over sqrt(n); 0 for fewer than two, where it is unknown.
  double error() const;

 private:
  State state_;
};

struct ClassResult {
  std::int64_t n = 0;
  std::int64_t correct = 0;
};

// Every example counts once, whatever the batches were.
struct Evaluation {
  std::int64_t n = 0;
  std::int64_t correct = 0;
  double loss = 0;  // mean, in nats; NaN when any example's is
  double loss_error = 0;
  double accuracy = 0;        // 0..1
  double accuracy_error = 0;  // sqrt(accuracy (1 - accuracy) / n)
  std::vector<ClassResult> classes;
};

// Runs the whole split through the model in evaluation mode, without recording, and leaves the
// model as it was.
//   throws   Error, exit code 3, when the images have another size or more classes than the model
Evaluation evaluate(const nn::Model& model, const data::Loader& loader);

}  // namespace cucina::skeleton
