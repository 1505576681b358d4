// How predictions on fixed inputs move while training.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "recipe/check/task.h"

namespace cucina::checks {

struct Dynamics {
  std::int64_t n = 0, classes = 0;
  std::vector<std::vector<float>>
      probabilities;       // after each update, the start first: (n, classes)
  double jitter = 0;       // total-variation distance per update, mean over examples and updates
  double travel = 0;       // from first to last
  std::int64_t flips = 0;  // changes of the most likely class
};

// Runs `updates` updates on the task's own batches, and leaves the task trained by them.
Dynamics record_dynamics(const Task& task, const Tensor& inputs, std::int64_t updates);

// "update,example,class,probability" and a line for each; RFC 4180.
std::string to_csv(const Dynamics& dynamics);

}  // namespace cucina::checks
