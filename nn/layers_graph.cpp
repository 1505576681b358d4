// What the layers are in ONNX's operators.
#include "nn/layers.h"

namespace cucina::nn {
namespace {

using Sizes = std::vector<std::int64_t>;

Sizes both(std::int64_t size) { return {size, size}; }
Sizes all_sides(std::int64_t size) { return {size, size, size, size}; }

Graph::Attributes windows(const Pool2dParams& params) {
  return {{"kernel_shape", both(params.window)},
          {"strides", both(params.stride)},
          {"pads", all_sides(params.pad)}};
}

}  // namespace

std::string Linear::write_graph(const GraphInput& in) const {
  std::vector<std::string> inputs{in.x, in.own("weight")};
  if (bias_.defined()) inputs.push_back(in.own("bias"));
  return in.graph->add("Gemm", inputs, {{"transB", std::int64_t{1}}});
}

std::string Conv2d::write_graph(const GraphInput& in) const {
  std::vector<std::string> inputs{in.x, in.own("weight")};
  if (bias_.defined()) inputs.push_back(in.own("bias"));
  return in.graph->add("Conv", inputs,
                       {{"kernel_shape", both(window_)},
                        {"strides", both(params_.stride)},
                        {"pads", all_sides(params_.pad)},
                        {"dilations", both(params_.dilation)},
                        {"group", std::int64_t{params_.groups}}});
}

std::string BatchNorm2d::write_graph(const GraphInput& in) const {
  return in.graph->add(
      "BatchNormalization",
      {in.x, in.own("weight"), in.own("bias"), in.own("running_mean"), in.own("running_var")},
      {{"epsilon", static_cast<float>(eps_)}});
}

std::string ReLU::write_graph(const GraphInput& in) const { return in.graph->add("Relu", {in.x}); }

std::string MaxPool2d::write_graph(const GraphInput& in) const {
  return in.graph->add("MaxPool", {in.x}, windows(params_));
}

std::string AvgPool2d::write_graph(const GraphInput& in) const {
  Graph::Attributes attributes = windows(params_);
  attributes.emplace_back("count_include_pad", std::int64_t{1});
  return in.graph->add("AveragePool", {in.x}, attributes);
}

std::string GlobalAvgPool::write_graph(const GraphInput& in) const {
  const std::string y = in.graph->add("GlobalAveragePool", {in.x});
  return in.graph->add("Flatten", {y}, {{"axis", std::int64_t{1}}});
}

std::string Scale::write_graph(const GraphInput& in) const {
  return in.graph->add("Mul", {in.x, in.graph->number(static_cast<float>(factor_))});
}

// Nothing is dropped outside training.
std::string Dropout::write_graph(const GraphInput& in) const { return in.x; }
std::string Dropout2d::write_graph(const GraphInput& in) const { return in.x; }

std::string Flatten::write_graph(const GraphInput& in) const {
  return in.graph->add("Flatten", {in.x}, {{"axis", std::int64_t{1}}});
}

}  // namespace cucina::nn
