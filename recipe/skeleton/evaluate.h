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
  void add(double value) {
    ++n_;
    const double before = value - mean_;
    mean_ += before / static_cast<double>(n_);
    squares_ += before * (value - mean_);
  }
  std::int64_t n() const { return n_; }
  double mean() const { return mean_; }
  // The deviation of single values over sqrt(n); 0 for fewer than two, where it is unknown.
  double error() const;

 private:
  std::int64_t n_ = 0;
  double mean_ = 0;
  double squares_ = 0;  // sum of (value - mean)^2
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
