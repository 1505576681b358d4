// What the first layer of a training step reads, and known images found again in it.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "recipe/check/samples.h"

namespace cucina::checks {

// The first op of task.step(batch) that reads what was delivered, bit for bit.
struct FirstRead {
  std::string op;        // "conv2d"; empty: none does
  Tensor tensor;         // what it read, on the cpu: a part of the batch where the step has parts
  std::int64_t ops = 0;  // that were watched
};
// Runs one step, in training mode; the task is left trained by it.
FirstRead read_by_a_layer(const Task& task, const Batch& batch);

// A known image as it is delivered.
struct GoldenSeen {
  const Golden* golden = nullptr;
  std::vector<float> inputs;
  double decibels = 0;  // peak signal to noise ratio, turned back into pixels; 200: the very pixels
  bool label_is_right = true;
};
// Those that are among the first examples of the training; none where mean and deviation are
// unknown.
std::vector<GoldenSeen> find_golden(const Task& task);

// SHA-256 of a tensor's bytes.
std::string hash_of(const Tensor& tensor);

}  // namespace cucina::checks
