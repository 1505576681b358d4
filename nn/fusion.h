// Layers that run as one op with a neighbour, so that less memory is read and written: an
// activation with the convolution, normalisation or linear layer before it, relu with the pooling
// behind it, and the sum of a residual block with its last normalisation. Results are those of the
// layers one by one, within rounding.
#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "nn/module.h"

namespace cucina::nn {

// On unless it was turned off; for the whole process.
bool fusion();
void set_fusion(bool on);

// While one lives, fusion is as it says.
class ScopedFusion {
 public:
  explicit ScopedFusion(bool on) : before_(fusion()) { set_fusion(on); }
  ~ScopedFusion() { set_fusion(before_); }
  ScopedFusion(const ScopedFusion&) = delete;
  ScopedFusion& operator=(const ScopedFusion&) = delete;

 private:
  bool before_;
};

// For each of these neighbours, which of them computes it: itself, or one next to it.
std::vector<std::size_t> computed_by(std::span<const Module* const> layers);

// Module::place of layers that run one after the other.
Shape place_layers(std::span<const NamedModule> layers, const std::string& name, const Shape& x,
                   std::vector<PlacedLayer>* placed);

// One after the other.
Tensor run_layers(std::span<Module* const> layers, const Tensor& x);

}  // namespace cucina::nn
