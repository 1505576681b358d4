// Checkpoints: what a training needs to go on bit for bit, as one file that is whole or absent.
#pragma once

#include <cstdint>
#include <filesystem>
#include <limits>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "nn/module.h"
#include "nn/parameter_arena.h"
#include "nn/safetensors.h"
#include "optim/optimizer.h"
#include "recipe/skeleton/evaluate.h"

namespace cucina::skeleton {

// What an epoch has added up so far.
struct EpochSums {
  MeanAccumulator loss;
  MeanAccumulator accuracy;
  MeanAccumulator since_line;  // the losses since the last line of metrics
  std::int64_t hits_since_line = 0;
};

// Where a training is. The number of steps done tells the epoch and the place in its order of
// images, and addresses all random numbers; so there is no other state of a generator to keep.
struct Position {
  std::int64_t step = 0;
  EpochSums sums = {};
  double best_loss = std::numeric_limits<double>::infinity();  // of validations so far
};

// Settings by name, such as "train.batch_size".
using Settings = std::map<std::string, std::string>;

// The checkpoints of one run: FOLDER/step-000000000123.safetensors, with the model's tensors under
// "model/", and under "optim/PARAMETER/" what the optimiser keeps of each parameter. Position,
// settings and a SHA-256 of all tensors are in the metadata.
class CheckpointFolder {
 public:
  // Nothing is made or read yet. `keep` is how many stay; the oldest go first.
  //   throws   Error when keep is below 1
  CheckpointFolder(std::filesystem::path folder, std::int64_t keep, Settings settings);

  // Writes a checkpoint beside the existing ones, syncs it to disk, gives it its name, and only
  // then removes what is too old: at no moment is the newest unreadable.
  //   throws   Error, exit code 1, when the disk refuses
  void save(const Position& position, const nn::Module& module, const nn::ParameterArena& arena,
            const std::vector<optim::OptimizerState>& optimizer) const;

  // The checkpoint with the most steps; nothing when there is none.
  std::optional<std::filesystem::path> newest() const;

 private:
  std::filesystem::path folder_;
  std::int64_t keep_;
  Settings settings_;
};

// A checkpoint as it was read: whole, and undamaged by its sum.
struct Checkpoint {
  nn::Safetensors file;
  Position position;
  Settings settings;

  //   throws   Error, exit code 3: no such file, a malformed or a damaged one
  static Checkpoint read(const std::filesystem::path& path);

  // Copies everything to where it came from; the optimiser's count of steps is the caller's to set.
  //   throws   Error, exit code 3, when it is of another model or optimiser; nothing is changed
  //   then
  void restore(const nn::Module& module, const nn::ParameterArena& arena,
               const std::vector<optim::OptimizerState>& optimizer) const;
};

}  // namespace cucina::skeleton
