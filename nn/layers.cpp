// Layers: checks when they are made, shapes without computing, and calls of the ops' front doors.
#include "nn/layers.h"

#include <cmath>

#include "core/error.h"
#include "kernels/batch_norm/batch_norm.h"
#include "kernels/cast/cast.h"
#include "kernels/dropout/dropout.h"
#include "kernels/dropout2d/dropout2d.h"
#include "kernels/matmul/matmul.h"
#include "kernels/unary/unary.h"

namespace cucina::nn {
namespace {

void check_sizes(const char* layer, std::int64_t in, std::int64_t out) {
  if (in < 1 || out < 1)
    fail("{}: {} inputs and {} outputs; both must be at least 1", layer, in, out);
}

const Shape& check_image(const Shape& image) {
  if (image.rank() != 3 || image.elements() == 0)
    fail("Linear: reads an image of shape {}; give (h, w, c), each at least 1", to_string(image));
  return image;
}

void check_rank(const char* layer, const Shape& x, int rank) {
  if (x.rank() != rank)
    fail("{}: x has shape {} of rank {}; rank {} is needed", layer, to_string(x), x.rank(), rank);
}

void check_probability(const char* layer, float p) {
  if (!(p >= 0 && p < 1)) fail("{}: p is {}; it must be in [0, 1)", layer, p);
}

// One side of the result of a window that moves over an image.
std::int64_t moved(const char* layer, std::int64_t size, std::int64_t window, int stride, int pad,
                   int dilation = 1) {
  const std::int64_t padded = size + std::int64_t{2} * pad;
  window = (window - 1) * dilation + 1;
  if (window > padded)
    fail("{}: a window of {} exceeds the padded image of {}; take a larger image or more padding",
         layer, window, padded);
  return (padded - window) / stride + 1;
}

Shape pooled(const char* layer, const Shape& x, const Pool2dParams& params) {
  check_rank(layer, x, 4);
  constexpr int kLargestWindow = 15;
  if (params.window < 1 || params.window > kLargestWindow || params.stride < 1 || params.pad < 0 ||
      params.pad >= params.window)
    fail(
        "{}: window {}, stride {} and pad {}; a window from 1 to {}, a stride of at least 1 and "
        "less "
        "pad than window are needed",
        layer, params.window, params.stride, params.pad, kLargestWindow);
  return {x[0], moved(layer, x[1], params.window, params.stride, params.pad),
          moved(layer, x[2], params.window, params.stride, params.pad), x[3]};
}

std::string pool_text(const char* layer, const Pool2dParams& params) {
  std::string text = fmt::format("{} {}x{}", layer, params.window, params.window);
  if (params.stride != params.window) text += fmt::format(", stride {}", params.stride);
  if (params.pad != 0) text += fmt::format(", pad {}", params.pad);
  return text;
}

// A parameter in the format of the activations: they may be bf16 where parameters are f32.
Tensor in_format(const Tensor& parameter, const Tensor& x) {
  return parameter.defined() ? cast(parameter, x.dtype()) : parameter;
}

}  // namespace

Linear::Linear(std::int64_t in, std::int64_t out, bool bias) : in_(in), out_(out) {
  check_sizes("Linear", in, out);
  weight_ = add_parameter("weight", {out, in});
  if (bias) bias_ = add_parameter("bias", {out});
}

Linear::Linear(const Shape& image, std::int64_t out, bool bias)
    : in_(check_image(image).elements()), out_(out) {
  check_sizes("Linear", in_, out);
  weight_ = add_parameter("weight", {out, in_}, Shape{out, image[0], image[1], image[2]});
  if (bias) bias_ = add_parameter("bias", {out});
}

Tensor Linear::forward(const Tensor& x) { return forward_fused(x, {}); }

Tensor Linear::forward_fused(const Tensor& x, const Ending& ending) {
  return linear(x, in_format(weight_, x), in_format(bias_, x), ending.activation);
}

Shape Linear::output_shape(const Shape& x) const {
  check_rank("Linear", x, 2);
  if (x[1] != in_) fail("Linear: x has {} columns but the layer takes {}", x[1], in_);
  return {x[0], out_};
}

std::string Linear::describe() const {
  return fmt::format("Linear {}->{}{}", in_, out_, bias_.defined() ? "" : ", no bias");
}

double Linear::flops(const Shape& x) const {
  return 2.0 * static_cast<double>(x[0] * in_) * static_cast<double>(out_);
}

Conv2d::Conv2d(std::int64_t in, std::int64_t out, std::int64_t window, const Conv2dOptions& options)
    : in_(in),
      out_(out),
      window_(window),
      params_{.stride = options.stride,
              .pad = options.pad,
              .dilation = options.dilation,
              .groups = options.groups} {
  check_sizes("Conv2d", in, out);
  if (window < 1 || options.stride < 1 || options.pad < 0)
    fail("Conv2d: window {}, stride {} and pad {}; they must be at least 1, 1 and 0", window,
         options.stride, options.pad);
  if (options.dilation < 1 || options.groups < 1)
    fail("Conv2d: dilation {} and groups {}; both must be at least 1", options.dilation,
         options.groups);
  if (in % options.groups != 0 || out % options.groups != 0)
    fail("Conv2d: {} groups do not divide {} inputs and {} outputs", options.groups, in, out);
  const Shape shape{out, window, window, in / options.groups};
  weight_ = add_parameter("weight", shape, shape);
  if (options.bias) bias_ = add_parameter("bias", {out});
}

Tensor Conv2d::forward(const Tensor& x) { return forward_fused(x, {}); }

Tensor Conv2d::forward_fused(const Tensor& x, const Ending& ending) {
  Conv2dParams params = params_;
  params.relu = ending.activation == Activation::relu;
  return conv2d(x, in_format(weight_, x), in_format(bias_, x), params);
}

Shape Conv2d::output_shape(const Shape& x) const {
  check_rank("Conv2d", x, 4);
  if (x[3] != in_) fail("Conv2d: x has {} channels but the layer takes {}", x[3], in_);
  const auto side = [&](int i) {
    return moved("Conv2d", x[i], window_, params_.stride, params_.pad, params_.dilation);
  };
  return {x[0], side(1), side(2), out_};
}

std::string Conv2d::describe() const {
  std::string text = fmt::format("Conv2d {}->{}, {}x{}", in_, out_, window_, window_);
  if (params_.stride != 1) text += fmt::format(", stride {}", params_.stride);
  if (params_.pad != 0) text += fmt::format(", pad {}", params_.pad);
  if (params_.dilation != 1) text += fmt::format(", dilation {}", params_.dilation);
  if (params_.groups != 1) text += fmt::format(", groups {}", params_.groups);
  if (!bias_.defined()) text += ", no bias";
  return text;
}

double Conv2d::flops(const Shape& x) const {
  const double taps = static_cast<double>(weight_.elements()) / static_cast<double>(out_);
  return 2.0 * taps * static_cast<double>(output_shape(x).elements());
}

BatchNorm2d::BatchNorm2d(std::int64_t channels, float momentum, double eps)
    : channels_(channels), momentum_(momentum), eps_(eps) {
  check_sizes("BatchNorm2d", channels, channels);
  weight_ = add_parameter("weight", {channels});
  bias_ = add_parameter("bias", {channels});
  running_mean_ = add_buffer("running_mean", Tensor::zeros({channels}));
  running_var_ = add_buffer("running_var", Tensor::full({channels}, 1.0));
  batches_ = add_buffer("num_batches_tracked", Tensor::zeros({}, DType::i32));
}

Tensor BatchNorm2d::forward(const Tensor& x) { return forward_fused(x, {}); }

Tensor BatchNorm2d::forward_fused(const Tensor& x, const Ending& ending) {
  const Tensor y = batch_norm(x, weight_, bias_, running_mean_, running_var_,
                              {.momentum = momentum_,
                               .eps = eps_,
                               .training = training(),
                               .relu = ending.activation == Activation::relu},
                              ending.added);
  if (training()) ++*batches_.data<std::int32_t>();
  return y;
}

Shape BatchNorm2d::output_shape(const Shape& x) const {
  check_rank("BatchNorm2d", x, 4);
  if (x[3] != channels_)
    fail("BatchNorm2d: x has {} channels but the layer takes {}", x[3], channels_);
  return x;
}

std::string BatchNorm2d::describe() const { return fmt::format("BatchNorm2d {}", channels_); }

Tensor ReLU::forward(const Tensor& x) { return relu(x); }

Tensor MaxPool2d::forward(const Tensor& x) { return max_pool2d(x, params_); }
Tensor MaxPool2d::forward_fused(const Tensor& x, const Ending& ending) {
  Pool2dParams params = params_;
  params.relu = ending.activation == Activation::relu;
  return max_pool2d(x, params);
}
Shape MaxPool2d::output_shape(const Shape& x) const { return pooled("MaxPool2d", x, params_); }
std::string MaxPool2d::describe() const { return pool_text("MaxPool2d", params_); }

Tensor AvgPool2d::forward(const Tensor& x) { return avg_pool2d(x, params_); }
Shape AvgPool2d::output_shape(const Shape& x) const { return pooled("AvgPool2d", x, params_); }
std::string AvgPool2d::describe() const { return pool_text("AvgPool2d", params_); }

Tensor GlobalAvgPool::forward(const Tensor& x) { return global_avg_pool(x); }
Shape GlobalAvgPool::output_shape(const Shape& x) const {
  check_rank("GlobalAvgPool", x, 4);
  return {x[0], x[3]};
}

Scale::Scale(double factor) : factor_(factor) {
  if (!std::isfinite(factor)) fail("Scale: the factor is {}; it must be finite", factor);
}
Tensor Scale::forward(const Tensor& x) { return scale(x, factor_); }
std::string Scale::describe() const { return fmt::format("Scale by {}", factor_); }

Dropout::Dropout(float p) : p_(p) { check_probability("Dropout", p); }
Tensor Dropout::forward(const Tensor& x) {
  return dropout(x, {.p = p_, .training = training(), .random = random_, .step = step_});
}
std::string Dropout::describe() const { return fmt::format("Dropout p {}", p_); }

Dropout2d::Dropout2d(float p) : p_(p) { check_probability("Dropout2d", p); }
Tensor Dropout2d::forward(const Tensor& x) {
  return dropout2d(x, {.p = p_, .training = training(), .random = random_, .step = step_});
}
std::string Dropout2d::describe() const { return fmt::format("Dropout2d p {}", p_); }

Shape Flatten::output_shape(const Shape& x) const {
  if (x.rank() < 2) fail("Flatten: x has shape {}; rank 2 or more is needed", to_string(x));
  std::int64_t row = 1;
  for (int i = 1; i < x.rank(); ++i) row *= x[i];
  return {x[0], row};
}

void use_random(Module& module, const RandomStream& random, const Tensor& step) {
  std::uint32_t layer = 0;
  for (Module* each : module.modules()) {
    if (auto* drawing = dynamic_cast<RandomModule*>(each))
      drawing->use_random(random.substream(layer++), step);
  }
}

}  // namespace cucina::nn
