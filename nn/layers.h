// The layers: ops with parameters of their own.
#pragma once

#include <cstdint>
#include <string>

#include "core/random.h"
#include "core/tensor.h"
#include "kernels/conv2d/conv2d.h"
#include "kernels/pool2d/pool2d.h"
#include "nn/module.h"

namespace cucina::nn {

// y = x w^T + b on rows of `in` numbers.
//   parameters   weight (out, in), bias (out)
class Linear : public Module {
 public:
  Linear(std::int64_t in, std::int64_t out, bool bias = true);
  // Reads images (h, w, c) that Flatten made rows of. PyTorch flattens (c, h, w) instead, so
  // loading and saving weights permutes the columns.
  Linear(const Shape& image, std::int64_t out, bool bias = true);

  Tensor forward(const Tensor& x) override;
  bool fuses(Activation, bool added) const override { return !added; }
  Tensor forward_fused(const Tensor& x, const Ending& ending) override;
  Shape output_shape(const Shape& x) const override;
  std::string describe() const override;
  std::string write_graph(const GraphInput& in) const override;
  double flops(const Shape& x) const override;

  const Tensor& weight() const { return weight_; }
  const Tensor& bias() const { return bias_; }

 private:
  std::int64_t in_;
  std::int64_t out_;
  Tensor weight_;
  Tensor bias_;
};

struct Conv2dOptions {
  int stride = 1;
  int pad = 0;
  bool bias = true;
  int dilation = 1;
  int groups = 1;  // of channels; `in` of them: a depthwise convolution
};

// Square filters of `window` x `window` over images (n, h, w, in).
//   parameters   weight (out, window, window, in / groups), bias (out)
class Conv2d : public Module {
 public:
  Conv2d(std::int64_t in, std::int64_t out, std::int64_t window, const Conv2dOptions& options = {});

  Tensor forward(const Tensor& x) override;
  bool fuses(Activation activation, bool added) const override {
    return activation == Activation::relu && !added;
  }
  Tensor forward_fused(const Tensor& x, const Ending& ending) override;
  Shape output_shape(const Shape& x) const override;
  std::string describe() const override;
  std::string write_graph(const GraphInput& in) const override;
  double flops(const Shape& x) const override;

  const Tensor& weight() const { return weight_; }

 private:
  std::int64_t in_;
  std::int64_t out_;
  std::int64_t window_;
  Conv2dParams params_;
  Tensor weight_;
  Tensor bias_;
};

// Normalises every channel: by the batch's statistics while training, else by the running ones.
//   parameters   weight (c), bias (c)
//   buffers      running_mean (c), running_var (c), num_batches_tracked (): i32, always on the cpu
class BatchNorm2d : public Module {
 public:
  explicit BatchNorm2d(std::int64_t channels, float momentum = 0.1f, double eps = 1e-5);

  Tensor forward(const Tensor& x) override;
  bool fuses(Activation activation, bool added) const override {
    return activation == Activation::relu || (added && activation == Activation::none);
  }
  Tensor forward_fused(const Tensor& x, const Ending& ending) override;
  Shape output_shape(const Shape& x) const override;
  std::string describe() const override;
  std::string write_graph(const GraphInput& in) const override;

 private:
  std::int64_t channels_;
  float momentum_;
  double eps_;
  Tensor weight_;
  Tensor bias_;
  Tensor running_mean_;
  Tensor running_var_;
  Tensor batches_;
};

class ReLU : public Module {
 public:
  Tensor forward(const Tensor& x) override;
  Activation activation() const override { return Activation::relu; }
  Shape output_shape(const Shape& x) const override { return x; }
  std::string describe() const override { return "ReLU"; }
  std::string write_graph(const GraphInput& in) const override;
};

class MaxPool2d : public Module {
 public:
  explicit MaxPool2d(const Pool2dParams& params = {}) : params_(params) {}
  Tensor forward(const Tensor& x) override;
  bool fuses(Activation activation, bool added) const override {
    return activation == Activation::relu && !added;
  }
  Tensor forward_fused(const Tensor& x, const Ending& ending) override;
  Shape output_shape(const Shape& x) const override;
  std::string describe() const override;
  std::string write_graph(const GraphInput& in) const override;

 private:
  Pool2dParams params_;
};

class AvgPool2d : public Module {
 public:
  explicit AvgPool2d(const Pool2dParams& params = {}) : params_(params) {}
  Tensor forward(const Tensor& x) override;
  Shape output_shape(const Shape& x) const override;
  std::string describe() const override;
  std::string write_graph(const GraphInput& in) const override;

 private:
  Pool2dParams params_;
};

// (n, h, w, c) -> (n, c)
class GlobalAvgPool : public Module {
 public:
  Tensor forward(const Tensor& x) override;
  Shape output_shape(const Shape& x) const override;
  std::string describe() const override { return "GlobalAvgPool"; }
  std::string write_graph(const GraphInput& in) const override;
};

// y = factor x, as where logits are scaled before the loss.
class Scale : public Module {
 public:
  explicit Scale(double factor);
  Tensor forward(const Tensor& x) override;
  Shape output_shape(const Shape& x) const override { return x; }
  std::string describe() const override;
  std::string write_graph(const GraphInput& in) const override;

 private:
  double factor_;
};

// A layer that draws random numbers while training.
class RandomModule : public Module {
 public:
  // Where they come from: `step` is one i32 on the device of the activations.
  void use_random(const RandomStream& random, const Tensor& step) {
    random_ = random;
    step_ = step;
  }

 protected:
  RandomStream random_{0, "dropout"};
  Tensor step_;
};

// Drops elements with probability p while training; use_random() first.
class Dropout : public RandomModule {
 public:
  explicit Dropout(float p = 0.5f);
  Tensor forward(const Tensor& x) override;
  Shape output_shape(const Shape& x) const override { return x; }
  std::string describe() const override;
  std::string write_graph(const GraphInput& in) const override;

 private:
  float p_;
};

// Drops whole channels with probability p while training; use_random() first.
class Dropout2d : public RandomModule {
 public:
  explicit Dropout2d(float p = 0.5f);
  Tensor forward(const Tensor& x) override;
  Shape output_shape(const Shape& x) const override { return x; }
  std::string describe() const override;
  std::string write_graph(const GraphInput& in) const override;

 private:
  float p_;
};

// (n, h, w, c) -> (n, h w c). The order is ours; a Linear behind it is told the image's shape.
class Flatten : public Module {
 public:
  Tensor forward(const Tensor& x) override { return x.flatten(); }
  Shape output_shape(const Shape& x) const override;
  std::string describe() const override { return "Flatten"; }
  std::string write_graph(const GraphInput& in) const override;
};

// Gives every RandomModule below `module` a stream of its own, drawn from `random`, and `step`.
void use_random(Module& module, const RandomStream& random, const Tensor& step);

}  // namespace cucina::nn
