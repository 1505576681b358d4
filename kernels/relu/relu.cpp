// relu's front door: output shape, choice of backend, the recorded gradient; and its cases.
#include "kernels/relu/relu.h"

#include "core/autograd.h"

namespace cucina {

Tensor relu(const Tensor& x) {
  const Tensor y = Tensor::empty(x.shape(), x.dtype(), x.device());
  choose(&ReluOp::forward, x)(x, y);
  record("relu", y, {x}, {{"y", y}},
         [](const Tensor& dy, const Saved& saved, Gradients& gradients) {
           const auto [dx, write] = gradients.slot(0);
           choose(&ReluOp::backward, dy)(dy, saved[0].tensor, write, dx);
         });
  return y;
}

std::vector<Case> ReluOp::cases() {
  std::vector<Case> cases;
  for (const auto& [name, shape] :
       std::vector<std::pair<std::string, Shape>>{{"one", {1}},
                                                  {"prime", {257}},
                                                  {"wider_than_block", {3, 1031}},
                                                  {"activations", {2, 7, 5, 3}},
                                                  {"empty", {0, 4}},
                                                  {"large", {64, 28, 28, 6}}}) {
    const Operand x{"x", shape, Fill::away_from_zero};
    const double n = static_cast<double>(shape.elements());
    cases.push_back(
        {.name = name,
         .calls = {{.entry = "forward",
                    .inputs = {x},
                    .outputs = {{"y", shape}},
                    .run = run_entry(&ReluOp::forward,
                                     [](auto forward, const Tensors& in, const Tensors& out,
                                        Write) { forward(in[0], out[0]); }),
                    .flops = n},
                   {.entry = "backward",
                    .inputs = {{"dy", shape}, {"y", shape}},
                    .outputs = {{"dx", shape}},
                    .accumulates = true,
                    .run = run_entry(&ReluOp::backward,
                                     [](auto backward, const Tensors& in, const Tensors& out,
                                        Write write) { backward(in[0], in[1], write, out[0]); }),
                    .flops = n}},
         .inputs = {x},
         .function = [](const Tensors& in) { return relu(in[0]); }});
  }
  return cases;
}

}  // namespace cucina
