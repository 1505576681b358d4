// A Task around cucina's own Trainer.
#pragma once

#include <memory>

#include "recipe/check/task.h"
#include "recipe/data/image_set.h"
#include "recipe/skeleton/trainer.h"

namespace cucina::checks {

// What a training with these options does, as the checks see it: the trainer's step and evaluation,
// its loaders and its schedule. Model, data and trainer must outlive the task.
Task task_of(skeleton::Trainer& trainer, const nn::Model& model, const data::Dataset& data,
             const skeleton::TrainOptions& options);

}  // namespace cucina::checks
