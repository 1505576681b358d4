// What checks take from a task: examples in host memory, outputs, losses.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "recipe/check/task.h"

namespace cucina::checks {

// Up to `most` examples of a loader's epoch as one batch; on the device they came from.
Batch take(const Loader& loader, std::int64_t most, std::int64_t epoch = 0);

// The first batches of an epoch, up to `most` of them, cut to their first `size` examples: what one
// update shows, it shows of a few.
std::vector<Batch> batches(const Loader& loader, std::int64_t most, std::int64_t size = 32);

// Examples as rows of numbers.
struct Rows {
  std::int64_t n = 0;
  std::int64_t d = 0;                // numbers per input
  std::vector<float> x;              // (n, d)
  std::vector<std::int32_t> labels;  // of a classification
  std::vector<float> y;              // else (n, k)
  std::vector<std::int64_t> indices;

  std::span<const float> row(std::int64_t i) const {
    return {x.data() + i * d, static_cast<std::size_t>(d)};
  }
};
Rows rows_of(const Loader& loader, std::int64_t most, std::int64_t epoch = 0);

// Are targets classes?
bool has_labels(const Batch& batch);

// Rows [begin, end) of a batch.
Batch part(const Batch& batch, std::int64_t begin, std::int64_t end);

// The outputs as evaluation sees them, without recording.
Tensor evaluated(const Task& task, const Tensor& inputs);
// task.loss without recording.
double loss_of(const Task& task, const Tensor& outputs, const Tensor& targets);
// task.loss of every example by itself; outputs on any device.
std::vector<double> losses_of(const Task& task, const Tensor& outputs, const Tensor& targets);

// The class with the largest output, the first among equals, of each row.
std::vector<std::int32_t> predictions(const Tensor& outputs);

// Normal numbers of that deviation from a stream of that name; shape and device of `like`.
Tensor noise_like(const Tensor& like, std::string_view name, double deviation);
// Moves every parameter by noise of a quarter of its size: a last layer of zeros, say, would hide
// whatever is behind it. Under a Snapshot.
void shake_parameters(const Task& task);

// Modes for a while: everything evaluates but the layers that draw random numbers, or the reverse.
void evaluate_all_but_random(nn::Module& model);
void train_all_but_random(nn::Module& model);
bool has_random_layers(nn::Module& model);

struct Moments {
  double mean = 0;
  double error = 0;      // of the mean
  double deviation = 0;  // of single values
};
Moments moments(std::span<const double> values);
double norm(std::span<const float> values);
double dot(std::span<const float> a, std::span<const float> b);

}  // namespace cucina::checks
