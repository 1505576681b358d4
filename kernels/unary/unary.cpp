// unary's front doors: checks, choice of backend, the recorded gradient; and its cases.
#include "kernels/unary/unary.h"

#include "core/autograd.h"
#include "core/error.h"

namespace cucina {
namespace {

Tensor apply(std::string_view op, const Tensor& x, const UnaryParams& params) {
  const Tensor y = Tensor::empty(x.shape(), x.dtype(), x.device());
  choose(&UnaryOp::forward, x)(x, params, y);
  const UnaryKeeps keeps = unary_keeps(params);
  Saved saved;
  if (keeps != UnaryKeeps::nothing) {
    saved = keeps == UnaryKeeps::x ? Saved{{"x", x}} : Saved{{"y", y}};
  }
  record(op, y, {x}, std::move(saved),
         [params](const Tensor& dy, const Saved& saved, Gradients& gradients) {
           const auto [dx, write] = gradients.slot(0);
           const Tensor kept = saved.empty() ? Tensor() : saved[0].tensor;
           choose(&UnaryOp::backward, dy)(dy, kept, params, write, dx);
         });
  return y;
}

Tensor activate(const Tensor& x, Activation activation) {
  return apply(name(activation), x, {.activation = activation});
}

}  // namespace

UnaryKeeps unary_keeps(const UnaryParams& params) {
  switch (params.kind) {
    case UnaryKind::clamp:
      return UnaryKeeps::x;
    case UnaryKind::scale:
      return UnaryKeeps::nothing;
    case UnaryKind::activation:
      break;
  }
  if (params.activation == Activation::none) return UnaryKeeps::nothing;
  return differentiable_by_output(params.activation) ? UnaryKeeps::y : UnaryKeeps::x;
}

Tensor relu(const Tensor& x) { return activate(x, Activation::relu); }
Tensor gelu(const Tensor& x) { return activate(x, Activation::gelu); }
Tensor gelu_tanh(const Tensor& x) { return activate(x, Activation::gelu_tanh); }
Tensor silu(const Tensor& x) { return activate(x, Activation::silu); }
Tensor sigmoid(const Tensor& x) { return activate(x, Activation::sigmoid); }
Tensor tanh(const Tensor& x) { return activate(x, Activation::tanh); }

Tensor clamp(const Tensor& x, double low, double high) {
  if (!(low <= high)) fail("clamp: low is {} but must be at most high, {}", low, high);
  return apply("clamp", x, {.kind = UnaryKind::clamp, .a = low, .b = high});
}

Tensor scale(const Tensor& x, double a, double b) {
  return apply("scale", x, {.kind = UnaryKind::scale, .a = a, .b = b});
}

namespace {

Case make_case(const std::string& name, const Shape& shape, const UnaryParams& params) {
  // relu's kink at 0 is out of a difference quotient's reach.
  const Operand x{"x", shape, Fill::away_from_zero};
  const UnaryKeeps keeps = unary_keeps(params);
  std::vector<Operand> backward_inputs{{"dy", shape}};
  if (keeps != UnaryKeeps::nothing) {
    backward_inputs.push_back({keeps == UnaryKeeps::x ? "x" : "y", shape});
  }
  const double n = static_cast<double>(shape.elements());
  return {.name = name,
          .calls = {{.entry = "forward",
                     .inputs = {x},
                     .outputs = {{"y", shape}},
                     .run = run_entry(&UnaryOp::forward,
                                      [params](auto forward, const Tensors& in, const Tensors& out,
                                               Write) { forward(in[0], params, out[0]); }),
                     .flops = n},
                    {.entry = "backward",
                     .inputs = backward_inputs,
                     .outputs = {{"dx", shape}},
                     .accumulates = true,
                     .run = run_entry(&UnaryOp::backward,
                                      [params](auto backward, const Tensors& in, const Tensors& out,
                                               Write write) {
                                        const Tensor kept = in.size() > 1 ? in[1] : Tensor();
                                        backward(in[0], kept, params, write, out[0]);
                                      }),
                     .flops = n}},
          .inputs = {x},
          .function = [params](const Tensors& in) { return apply("unary", in[0], params); }};
}

}  // namespace

std::vector<Case> UnaryOp::cases() {
  struct Kind {
    std::string name;
    UnaryParams params;
  };
  std::vector<Kind> kinds;
  for (const Activation activation : {Activation::relu, Activation::gelu, Activation::gelu_tanh,
                                      Activation::silu, Activation::sigmoid, Activation::tanh}) {
    kinds.push_back({std::string(cucina::name(activation)), {.activation = activation}});
  }
  // No input of the gradient check is within a difference quotient's reach of these limits.
  kinds.push_back({"clamp", {.kind = UnaryKind::clamp, .a = -0.61234, .b = 0.43219}});
  kinds.push_back({"scale", {.kind = UnaryKind::scale, .a = -1.75, .b = 0.625}});

  std::vector<Case> cases;
  for (const auto& [kind, params] : kinds) {
    for (const auto& [name, shape] :
         std::vector<std::pair<std::string, Shape>>{{"one", {1}},
                                                    {"prime", {257}},
                                                    {"wider_than_block", {3, 1031}},
                                                    {"activations", {2, 7, 5, 3}},
                                                    {"empty", {0, 4}}}) {
      cases.push_back(make_case(kind + "_" + name, shape, params));
    }
    Case small_cnn = make_case(kind + "_64x28x28x6", {64, 28, 28, 6}, params);
    small_cnn.timed = Timed::everywhere;
    // What holds for two of them under every schedule holds for all: they share their kernel.
    small_cnn.checked = kind == "relu" || kind == "gelu";
    cases.push_back(std::move(small_cnn));
    Case airbench = make_case(kind + "_2000x15x15x256", {2000, 15, 15, 256}, params);
    airbench.timed = Timed::gpu;
    airbench.checked = false;
    cases.push_back(std::move(airbench));
  }
  return cases;
}

}  // namespace cucina
