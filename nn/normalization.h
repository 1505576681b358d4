// Layers that normalise every example on its own, whatever the batch: the same while training and
// not.
#pragma once

#include <cstdint>
#include <string>

#include "core/tensor.h"
#include "nn/module.h"

namespace cucina::nn {

// Normalises the last dimension, in images every pixel's channels.
//   parameters   weight (features), bias (features), unless affine is false
class LayerNorm : public Module {
 public:
  explicit LayerNorm(std::int64_t features, double eps = 1e-5, bool affine = true);

  Tensor forward(const Tensor& x) override;
  Shape output_shape(const Shape& x) const override;
  std::string describe() const override;
  std::string write_graph(const GraphInput& in) const override;

 private:
  std::int64_t features_;
  double eps_;
  Tensor weight_;
  Tensor bias_;
};

// Normalises `groups` groups of adjacent channels over the pixels of every image (n, h, w, c).
//   parameters   weight (channels), bias (channels), unless affine is false
class GroupNorm : public Module {
 public:
  GroupNorm(std::int64_t groups, std::int64_t channels, double eps = 1e-5, bool affine = true);

  Tensor forward(const Tensor& x) override;
  Shape output_shape(const Shape& x) const override;
  std::string describe() const override;
  std::string write_graph(const GraphInput& in) const override;

 private:
  std::int64_t groups_;
  std::int64_t channels_;
  double eps_;
  Tensor weight_;
  Tensor bias_;
};

}  // namespace cucina::nn
