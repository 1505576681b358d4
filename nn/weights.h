// Weights in and out: model.safetensors as a PyTorch user expects it, and enough beside them to
// build the model again.
#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "nn/models.h"
#include "nn/module.h"
#include "nn/safetensors.h"

namespace cucina::nn {

// What a trained model needs to be used: classes by name, and how its images were standardised.
struct ModelInfo {
  std::vector<std::string> class_names;  // one per class
  std::vector<double> mean;              // one per channel, in the units of the stored pixels
  std::vector<double> stddev;
  std::map<std::string, std::string> recipe = {};  // how it was trained: settings by dotted name
};

// The module's parameters and buffers under PyTorch's names and in its order of elements: filters
// (o, i, h, w), columns behind a flatten (c, h, w), num_batches_tracked as I64.
std::vector<TensorToStore> state(const Module& module);

// What goes with the arrays, each value JSON: cucina.model, .image, .classes, .mean, .std (and
// .dropout, .layers and .recipe where there are such).
std::map<std::string, std::string> model_metadata(const Model& model, const ModelInfo& info);

// Writes model, weights and info into one file, whole or not at all. Metadata: those, and format
// "pt".
//   throws   Error, exit code 1, when it cannot be written
void save_model(const std::filesystem::path& path, const Model& model, const ModelInfo& info);

struct LoadedModel {
  Model model;  // in training mode, on the cpu
  ModelInfo info;
};

// Builds the model a file describes and fills it.
//   throws   Error, exit code 3: no such file, a malformed one, or one that cucina did not write
LoadedModel load_model(const std::filesystem::path& path);

// Copies a file's arrays into the module. Strict: both must have the same names with the same
// shapes and dtypes; only num_batches_tracked, which older files lack, may be missing and is then
// left as it is.
//   throws   Error, exit code 3, listing what is missing, unexpected and mismatched; the module is
//            then unchanged
void load_weights(const Module& module, const Safetensors& file);

}  // namespace cucina::nn
