// Which neighbours go together.
#include "nn/fusion.h"

#include "nn/layers.h"

namespace cucina::nn {
namespace {

bool& on() {
  static bool value = true;
  return value;
}

Activation activation_at(std::span<const Module* const> layers, std::size_t i) {
  return i < layers.size() ? layers[i]->activation() : Activation::none;
}

// relu, and behind it a maximum that may as well come first: then neither relu nor its gradient is
// a pass of its own, which it would be behind a convolution.
bool relu_before_maximum(std::span<const Module* const> layers, std::size_t i) {
  return activation_at(layers, i) == Activation::relu && i + 1 < layers.size() &&
         dynamic_cast<const MaxPool2d*>(layers[i + 1]) != nullptr;
}

// The next op of layers [i, ...): which layer's it is, with which activation, and how many layers
// it computes.
struct Group {
  std::size_t layer;
  Activation activation = Activation::none;
  std::size_t size = 1;
};

Group group_at(std::span<const Module* const> layers, std::size_t i) {
  if (!fusion()) return {.layer = i};
  if (relu_before_maximum(layers, i))
    return {.layer = i + 1, .activation = Activation::relu, .size = 2};
  const Activation next = activation_at(layers, i + 1);
  if (next == Activation::none || relu_before_maximum(layers, i + 1) ||
      !layers[i]->fuses(next, false))
    return {.layer = i};
  return {.layer = i, .activation = next, .size = 2};
}

}  // namespace

bool fusion() { return on(); }
void set_fusion(bool value) { on() = value; }

std::vector<std::size_t> computed_by(std::span<const Module* const> layers) {
  std::vector<std::size_t> by;
  while (by.size() < layers.size()) {
    const Group group = group_at(layers, by.size());
    by.insert(by.end(), group.size, group.layer);
  }
  return by;
}

Shape place_layers(std::span<const NamedModule> layers, const std::string& name, const Shape& x,
                   std::vector<PlacedLayer>* placed) {
  std::vector<const Module*> modules;
  for (const NamedModule& layer : layers) modules.push_back(layer.module.get());
  const std::vector<std::size_t> by = computed_by(modules);
  Shape shape = x;
  for (std::size_t i = 0; i < layers.size(); ++i) {
    shape = layers[i].module->place(joined(name, layers[i].name), shape, placed);
    if (by[i] != i) placed->back().computed_in = joined(name, layers[by[i]].name);
  }
  return shape;
}

Tensor run_layers(std::span<Module* const> layers, const Tensor& x) {
  const std::span<const Module* const> all(layers.data(), layers.size());
  Tensor y = x;
  for (std::size_t i = 0; i < layers.size();) {
    const auto [layer, activation, size] = group_at(all, i);
    y = activation == Activation::none
            ? layers[layer]->forward(y)
            : layers[layer]->forward_fused(y, {.activation = activation});
    i += size;
  }
  return y;
}

}  // namespace cucina::nn
