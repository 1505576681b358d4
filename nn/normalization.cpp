// LayerNorm and GroupNorm: checks when they are made, and calls of the ops' front doors.
#include "nn/normalization.h"

#include "core/error.h"
#include "kernels/group_norm/group_norm.h"
#include "kernels/layer_norm/layer_norm.h"

namespace cucina::nn {

LayerNorm::LayerNorm(std::int64_t features, double eps, bool affine)
    : features_(features), eps_(eps) {
  if (features < 1) fail("LayerNorm: {} features; at least 1 is needed", features);
  if (!affine) return;
  weight_ = add_parameter("weight", {features});
  bias_ = add_parameter("bias", {features});
}

Tensor LayerNorm::forward(const Tensor& x) {
  return layer_norm(x, {features_}, weight_, bias_, eps_);
}

Shape LayerNorm::output_shape(const Shape& x) const {
  if (x.rank() < 1 || x[-1] != features_)
    fail("LayerNorm: x has shape {} but its last dimension must be {}", to_string(x), features_);
  return x;
}

std::string LayerNorm::describe() const {
  return fmt::format("LayerNorm {}{}", features_, weight_.defined() ? "" : ", not affine");
}

std::string LayerNorm::write_graph(const GraphInput& in) const {
  Graph& graph = *in.graph;
  // What is last in ours is second in ONNX's images.
  const bool image = in.shape.rank() == 4;
  const std::string x =
      image ? graph.add("Transpose", {in.x}, {{"perm", std::vector<std::int64_t>{0, 2, 3, 1}}})
            : in.x;
  std::vector<std::string> inputs{x};
  if (weight_.defined()) {
    inputs.insert(inputs.end(), {in.own("weight"), in.own("bias")});
  } else {
    inputs.push_back(graph.numbers(std::vector<float>(static_cast<std::size_t>(features_), 1.0f)));
  }
  const std::string y =
      graph.add("LayerNormalization", inputs,
                {{"axis", std::int64_t{-1}}, {"epsilon", static_cast<float>(eps_)}});
  return image ? graph.add("Transpose", {y}, {{"perm", std::vector<std::int64_t>{0, 3, 1, 2}}}) : y;
}

GroupNorm::GroupNorm(std::int64_t groups, std::int64_t channels, double eps, bool affine)
    : groups_(groups), channels_(channels), eps_(eps) {
  if (groups < 1 || channels < 1 || channels % groups != 0)
    fail("GroupNorm: {} groups of {} channels; groups must divide channels", groups, channels);
  if (!affine) return;
  weight_ = add_parameter("weight", {channels});
  bias_ = add_parameter("bias", {channels});
}

Tensor GroupNorm::forward(const Tensor& x) {
  return group_norm(x, weight_, bias_, {.groups = groups_, .eps = eps_});
}

Shape GroupNorm::output_shape(const Shape& x) const {
  if (x.rank() != 4)
    fail("GroupNorm: x has shape {} of rank {}; rank 4 is needed", to_string(x), x.rank());
  if (x[3] != channels_)
    fail("GroupNorm: x has {} channels but the layer takes {}", x[3], channels_);
  return x;
}

std::string GroupNorm::describe() const {
  return fmt::format("GroupNorm {} of {}{}", groups_, channels_,
                     weight_.defined() ? "" : ", not affine");
}

// Opset 17 normalises channels alone: each group becomes one.
std::string GroupNorm::write_graph(const GraphInput& in) const {
  Graph& graph = *in.graph;
  const auto each = [&](float value) {
    return graph.numbers(std::vector<float>(static_cast<std::size_t>(groups_), value));
  };
  const std::string grouped = graph.add("Reshape", {in.x, graph.sizes({0, groups_, -1})});
  const std::string normal = graph.add("InstanceNormalization", {grouped, each(1), each(0)},
                                       {{"epsilon", static_cast<float>(eps_)}});
  const std::string y =
      graph.add("Reshape", {normal, graph.sizes({-1, channels_, in.shape[1], in.shape[2]})});
  if (!weight_.defined()) return y;
  const std::string channels = graph.sizes({channels_, 1, 1});
  const std::string scaled =
      graph.add("Mul", {y, graph.add("Reshape", {in.own("weight"), channels})});
  return graph.add("Add", {scaled, graph.add("Reshape", {in.own("bias"), channels})});
}

}  // namespace cucina::nn
