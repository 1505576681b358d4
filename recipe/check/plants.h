// Bugs to plant into a healthy task, to see the checks find them: for demonstrations and tests.
#pragma once

#include <string>
#include <vector>

#include "core/tensor.h"
#include "recipe/check/task.h"
#include "recipe/data/image_set.h"
#include "recipe/skeleton/trainer.h"

namespace cucina::checks {

struct Plant {
  std::string_view name;  // "double-softmax"
  std::string_view what;
};
const std::vector<Plant>& plants();

// What of a plant concerns the data has to be planted before the trainer is made.
void plant_in_data(const std::string& name, data::Dataset* data);
// The rest.
void plant(const std::string& name, skeleton::Trainer& trainer, Task* task);

// y[i] = x[order[i]] of all elements, in the order of memory; differentiable. Each index once.
Tensor rearranged(const Tensor& x, std::vector<std::int64_t> order);

// x (n, ...) read as if its first axis were its last: what a view makes of it where axes should be
// permuted.
Tensor viewed_for_permuted(const Tensor& x);

}  // namespace cucina::checks
