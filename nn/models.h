// The models known by name, and what it takes to build one again.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "core/tensor.h"
#include "nn/init.h"
#include "nn/layers.h"
#include "nn/module.h"

namespace cucina::nn {

// Everything a model's shape depends on.
struct ModelSpec {
  std::string name;
  std::int64_t h = 0;
  std::int64_t w = 0;
  std::int64_t c = 0;
  int classes = 0;
  double dropout = 0;  // bn_cnn only: how likely a channel is dropped before the average
  // Of a model that has no name of ours: its layers, as nn/layer_list.h reads them.
  std::string layers = {};
};

// A network from images (n, h, w, c) to logits (n, classes).
struct Model {
  ModelSpec spec;
  std::shared_ptr<Sequential> net;
  std::shared_ptr<Linear> head;  // its last layer with parameters
  // What whiten() makes of the training images before training begins; null in most models.
  std::shared_ptr<Conv2d> whitening = nullptr;

  Tensor operator()(const Tensor& images) const { return net->forward(images); }
};

struct KnownModel {
  std::string_view name;
  std::string_view what;
  // What it was made for: the image (h, w, c), the classes, and the accuracy published for them
  // with its source; empty where none is.
  Shape image;
  int classes;
  std::string_view published = "";
};

// What build_model knows, small ones first.
const std::vector<KnownModel>& known_models();
//   throws   Error listing the known ones when there is none of that name
const KnownModel& known_model(const std::string& name);

// Builds the model with parameters nobody has set.
//   throws   Error when the name is unknown (listing those that are), the image is too small,
//            dropout is asked of a model without one, or its layers are no model
Model build_model(const ModelSpec& spec);

// Builds it and initialises it from `seed`, as initialise() does with `initial`; where a model has
// initial values of its own, those come last.
Model make_model(const ModelSpec& spec, std::uint64_t seed, const Initial& initial = {});
Model make_model(const std::string& name, std::int64_t h, std::int64_t w, std::int64_t c,
                 int classes, std::uint64_t seed);

// Does normalisation over the batch happen anywhere in it? Then a batch of one image has to be
// avoided.
bool has_batch_norm(Module& module);

}  // namespace cucina::nn
