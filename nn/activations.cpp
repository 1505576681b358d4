// The activations' front doors, called.
#include "nn/activations.h"

#include "kernels/unary/unary.h"

namespace cucina::nn {

Tensor GELU::forward(const Tensor& x) { return tanh_ ? gelu_tanh(x) : gelu(x); }
Tensor SiLU::forward(const Tensor& x) { return silu(x); }
Tensor Sigmoid::forward(const Tensor& x) { return sigmoid(x); }
Tensor Tanh::forward(const Tensor& x) { return tanh(x); }

// Opset 17 has neither gelu nor silu: they are written out.
std::string GELU::write_graph(const GraphInput& in) const {
  Graph& graph = *in.graph;
  std::string gate;
  if (tanh_) {
    const std::string square = graph.add("Mul", {in.x, in.x});
    const std::string cubic = graph.add("Mul", {square, graph.number(0.044715f)});
    const std::string bracket = graph.add("Add", {cubic, graph.number(1)});
    const std::string inner = graph.add("Mul", {in.x, bracket});
    constexpr float kSqrtTwoOverPi = 0.7978845608028654f;
    gate = graph.add("Tanh", {graph.add("Mul", {inner, graph.number(kSqrtTwoOverPi)})});
  } else {
    constexpr float kSqrtHalf = 0.7071067811865476f;
    gate = graph.add("Erf", {graph.add("Mul", {in.x, graph.number(kSqrtHalf)})});
  }
  const std::string half = graph.add("Mul", {in.x, graph.number(0.5f)});
  return graph.add("Mul", {half, graph.add("Add", {gate, graph.number(1)})});
}
std::string SiLU::write_graph(const GraphInput& in) const {
  return in.graph->add("Mul", {in.x, in.graph->add("Sigmoid", {in.x})});
}
std::string Sigmoid::write_graph(const GraphInput& in) const {
  return in.graph->add("Sigmoid", {in.x});
}
std::string Tanh::write_graph(const GraphInput& in) const { return in.graph->add("Tanh", {in.x}); }

}  // namespace cucina::nn
