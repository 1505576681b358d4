// What the options of a training make of a model's parameters: an arena in groups, an optimiser.
#pragma once

#include <memory>
#include <string>

#include "nn/models.h"
#include "nn/parameter_arena.h"
#include "optim/optimizer.h"
#include "recipe/skeleton/trainer.h"

namespace cucina::skeleton {

// The parameters on options.device, group after group; those that no group of the options names
// come first.
//   throws   Error when a group names no parameter, its lr_ratio is not positive, or nothing is
//   left to
//            train
nn::ParameterArena make_arena(const nn::Model& model, const TrainOptions& options);

//   throws   Error when there is no such optimiser, or none of its parameters suit it
std::unique_ptr<optim::Optimizer> make_optimizer(const nn::Model& model,
                                                 const nn::ParameterArena& arena,
                                                 const TrainOptions& options);

// Which parameters decay, and at which rate they are trained: one line for each group, and one for
// what is frozen.
std::string describe_groups(const nn::ParameterArena& arena, const TrainOptions& options);

}  // namespace cucina::skeleton
