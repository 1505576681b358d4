// dropout's front door: checks, choice of backend, the recorded gradient; and its cases.
#include "kernels/dropout/dropout.h"

#include "core/autograd.h"
#include "kernels/common/dropout_checks.h"

namespace cucina {

Tensor dropout(const Tensor& x, const DropoutParams& params) {
  check_drop_probability("dropout", params.p);
  if (!params.training || params.p == 0) return x;
  check_drop_step("dropout", x, params.step);
  const Tensor y = Tensor::empty(x.shape(), x.dtype(), x.device());
  choose(&DropoutOp::forward, x)(x, params.step, params.p, params.random, y);
  record("dropout", y, {x}, {{"step", params.step}},
         [p = params.p, random = params.random](const Tensor& dy, const Saved& saved,
                                                Gradients& gradients) {
           const auto [dx, write] = gradients.slot(0);
           choose(&DropoutOp::backward, dy)(dy, saved[0].tensor, p, random, write, dx);
         });
  return y;
}

namespace {

Case make_case(const std::string& name, const Shape& shape, float p) {
  const Operand x{"x", shape};
  const Operand step{"step", {1}, Fill::labels, DType::i32, 1000};
  const RandomStream random(7, "cases");
  const double flops = static_cast<double>(shape.elements());
  return {
      .name = name,
      .calls = {{.entry = "forward",
                 .inputs = {x, step},
                 .outputs = {{"y", shape}},
                 .run = run_entry(&DropoutOp::forward,
                                  [p, random](auto forward, const Tensors& in, const Tensors& out,
                                              Write) { forward(in[0], in[1], p, random, out[0]); }),
                 .flops = flops},
                {.entry = "backward",
                 .inputs = {{"dy", shape}, step},
                 .outputs = {{"dx", shape}},
                 .accumulates = true,
                 .run = run_entry(&DropoutOp::backward,
                                  [p, random](auto backward, const Tensors& in, const Tensors& out,
                                              Write write) {
                                    backward(in[0], in[1], p, random, write, out[0]);
                                  }),
                 .flops = flops}},
      .inputs = {x},
      .function = [p, random](const Tensors& in) {
        const Tensor step = Tensor::full({1}, 3, DType::i32, in[0].device());
        return dropout(in[0], {.p = p, .random = random, .step = step});
      }};
}

}  // namespace

std::vector<Case> DropoutOp::cases() {
  std::vector<Case> cases{make_case("one", {1}, 0.5f), make_case("prime", {257}, 0.25f),
                          make_case("wider_than_block", {3, 1031}, 0.1f),
                          make_case("packs_and_a_rest", {5, 13, 17, 7}, 0.75f),
                          make_case("empty", {0, 4}, 0.5f)};
  Case small_cnn = make_case("64x28x28x16", {64, 28, 28, 16}, 0.5f);
  small_cnn.timed = Timed::everywhere;
  cases.push_back(std::move(small_cnn));
  Case large = make_case("512x32x32x64", {512, 32, 32, 64}, 0.5f);
  large.timed = Timed::gpu;
  large.checked = false;
  cases.push_back(std::move(large));
  return cases;
}

}  // namespace cucina
