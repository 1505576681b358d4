// What a model costs, and a table of its layers.
#pragma once

#include <cstdint>
#include <string>

#include "nn/models.h"

namespace cucina::nn {

struct Costs {
  std::int64_t parameters = 0;
  double flops = 0;  // forward, of convolutions and matrix products
  // What all layers' results take in f32: what training keeps for one image, more or less.
  std::int64_t activation_bytes = 0;
};

// Of one image.
Costs costs(const Model& model);

// A table of layers with shapes, parameters, operations and memory for one image, and the totals;
// ends with a line feed.
std::string summary(const Model& model);

// "236 M", "1.5 k", "" for 0.
std::string in_thousands(double value);

}  // namespace cucina::nn
