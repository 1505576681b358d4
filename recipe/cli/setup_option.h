// The options that say what is trained and how a step is made: those of train are those of check,
// so that what is judged is what is trained.
#pragma once

#include <CLI/App.hpp>
#include <cstdint>
#include <string>
#include <vector>

#include "nn/models.h"
#include "recipe/cli/augment_option.h"
#include "recipe/cli/data_option.h"
#include "recipe/cli/options.h"
#include "recipe/data/image_set.h"
#include "recipe/skeleton/trainer.h"

namespace cucina::cli {

struct SetupOptions {
  DataOptions data;
  std::string model = "lenet5";
  double dropout = 0;
  skeleton::TrainOptions train;
  std::string schedule = "constant";
  AugmentOption augment;
  std::int64_t seed = 1;
  std::string init = "torch";
  std::string head = "kaiming";
  std::vector<std::string> freeze;
  std::string dtype = "f32";
  bool no_fusion = false;
  ComputeOptions compute;
  // Of --config, where it is given.
  std::string config = {};
  std::string layers = {};       // of its model, in place of a file's
  std::string data_sha256 = {};  // that the data should have; empty: any
};

void add_setup(CLI::App& app, SetupOptions* options);

// Completes options->train by what the other options say of seed, device, schedule and format, and
// switches fusion.
//   throws   Error, exit code 2, when options contradict each other; 4 when the device is absent
void complete_train(SetupOptions* options);
// And by what they say of augmentation of such images.
void augment_for(const data::ImageSet& images, SetupOptions* options);

// The model as training finds it: initialised, whitened by the images where it wants that, frozen.
//   throws   Error when the model does not fit the data
nn::Model make_model(const SetupOptions& options, const data::Dataset& data);

}  // namespace cucina::cli
