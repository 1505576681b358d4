// Residual blocks: layers with a shortcut around them.
#pragma once

#include <memory>
#include <string>

#include "nn/module.h"

namespace cucina::nn {

// y = relu(body(x) + shortcut(x)), or without the relu. The body's layers are children of the block
// itself, so that their parameters have PyTorch's names: "layer1.0.conv1.weight".
//   throws   Error when the two sums have different shapes
//   source   He, Zhang, Ren & Sun 2016, arXiv:1512.03385, figure 2
class Residual : public Module {
 public:
  explicit Residual(bool relu = true) : relu_(relu) {}

  // Appends a layer to the body.
  template <typename Layer, typename... Args>
  void make(const std::string& name, Args&&... args) {
    add(name, std::make_shared<Layer>(std::forward<Args>(args)...));
  }
  void add(const std::string& name, std::shared_ptr<Module> layer);
  // What x goes through on the other way; without a call x itself is added.
  void set_shortcut(const std::string& name, std::shared_ptr<Module> shortcut);

  Tensor forward(const Tensor& x) override;
  Shape output_shape(const Shape& x) const override;
  std::string describe() const override;
  std::string write_graph(const GraphInput& in) const override;
  // The body's layers, the shortcut's, and the block itself for its sum.
  Shape place(const std::string& name, const Shape& x,
              std::vector<PlacedLayer>* layers) const override;
  // Does the last layer's op add the shortcut and apply the activation?
  bool sums_in_last_layer() const;

 private:
  Activation activation_of_sum() const { return relu_ ? Activation::relu : Activation::none; }

  bool relu_;
  std::vector<std::shared_ptr<Module>> body_;
  std::shared_ptr<Module> shortcut_;
};

// The shortcut without parameters, "option A": every `stride`-th pixel, and channels of zeros on
// both sides of the image's. In PyTorch pad(x[:, :, ::stride, ::stride], (0, 0, 0, 0, k, k)).
//   source   He et al. 2016, section 3.3
class PadChannels : public Module {
 public:
  // throws   Error unless in <= out and their difference is even
  PadChannels(std::int64_t in, std::int64_t out, int stride);

  Tensor forward(const Tensor& x) override;
  Shape output_shape(const Shape& x) const override;
  std::string describe() const override;
  std::string write_graph(const GraphInput& in) const override;

 private:
  std::int64_t in_;
  std::int64_t out_;
  int stride_;
  // Ones and zeros that a convolution of one pixel copies channels with: constant, so neither a
  // parameter nor a buffer.
  Tensor selection_;
};

}  // namespace cucina::nn
