// The models known by name, and what it takes to build one again.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "core/tensor.h"
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
};

// A network from images (n, h, w, c) to logits (n, classes).
struct Model {
  ModelSpec spec;
  std::shared_ptr<Sequential> net;
  std::shared_ptr<Linear> head;  // its last layer

  Tensor operator()(const Tensor& images) const { return net->forward(images); }
};

struct KnownModel {
  std::string_view name;
  std::string_view what;
};

// What build_model knows, small ones first.
const std::vector<KnownModel>& known_models();

// Builds the model with parameters nobody has set.
//   throws   Error when the name is unknown (listing those that are), the image is too small, or
//            dropout is asked of a model without one
Model build_model(const ModelSpec& spec);

// Builds and initialises it from `seed`.
Model make_model(const ModelSpec& spec, std::uint64_t seed);
Model make_model(const std::string& name, std::int64_t h, std::int64_t w, std::int64_t c,
                 int classes, std::uint64_t seed);

// A table of layers, shapes for one image, and parameters, with the total; ends with a line feed.
std::string summary(const Model& model);

// Does normalisation over the batch happen anywhere in it? Then a batch of one image has to be
// avoided.
bool has_batch_norm(Module& module);

}  // namespace cucina::nn
