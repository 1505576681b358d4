// add's front door: checks, output shape, the recorded gradient; and its cases.
#include "kernels/add/add.h"

#include "core/autograd.h"
#include "core/error.h"

namespace cucina {

Tensor add(const Tensor& a, const Tensor& b) {
  check_alike("add", "a", a, "b", b);
  if (a.shape() != b.shape()) {
    fail("add: a is {} but b is {}; shapes must be equal, nothing is broadcast",
         to_string(a.shape()), to_string(b.shape()));
  }
  const Tensor y = Tensor::empty(a.shape(), a.dtype(), a.device());
  choose(&AddOp::forward, a)(a, b, y);
  record("add", y, {a, b}, {}, [](const Tensor& dy, const Saved&, Gradients& gradients) {
    for (const int operand : {0, 1}) {
      if (!gradients.wants(operand)) continue;
      const auto [dx, write] = gradients.slot(operand);
      choose(&AddOp::backward, dy)(dy, write, dx);
    }
  });
  return y;
}

std::vector<Case> AddOp::cases() {
  std::vector<Case> cases;
  for (const auto& [name, shape] :
       std::vector<std::pair<std::string, Shape>>{{"one", {1}},
                                                  {"prime", {257}},
                                                  {"wider_than_block", {3, 1031}},
                                                  {"activations", {2, 7, 5, 3}},
                                                  {"empty", {0, 4}},
                                                  {"large", {64, 28, 28, 16}}}) {
    const Operand a{"a", shape}, b{"b", shape};
    const double n = static_cast<double>(shape.elements());
    cases.push_back(
        {.name = name,
         .calls = {{.entry = "forward",
                    .inputs = {a, b},
                    .outputs = {{"y", shape}},
                    .run = run_entry(&AddOp::forward,
                                     [](auto forward, const Tensors& in, const Tensors& out,
                                        Write) { forward(in[0], in[1], out[0]); }),
                    .flops = n},
                   {.entry = "backward",
                    .inputs = {{"dy", shape}},
                    .outputs = {{"dx", shape}},
                    .accumulates = true,
                    .run = run_entry(&AddOp::backward,
                                     [](auto backward, const Tensors& in, const Tensors& out,
                                        Write write) { backward(in[0], write, out[0]); }),
                    .flops = n}},
         .inputs = {a, b},
         .function = [](const Tensors& in) { return add(in[0], in[1]); }});
  }
  return cases;
}

}  // namespace cucina
