// dropout2d's front door: checks, choice of backend, the recorded gradient; and its cases.
#include "kernels/dropout2d/dropout2d.h"

#include "core/autograd.h"
#include "core/error.h"
#include "kernels/common/dropout_checks.h"

namespace cucina {
namespace {

void check(const Tensor& x, const Dropout2dParams& params) {
  if (x.shape().rank() != 4) {
    fail("dropout2d: x is {} but must be of rank 4: (n, h, w, c)", describe(x));
  }
  check_drop_probability("dropout2d", params.p);
}

}  // namespace

Tensor dropout2d(const Tensor& x, const Dropout2dParams& params) {
  check(x, params);
  if (!params.training || params.p == 0) return x;
  check_drop_step("dropout2d", x, params.step);
  const Tensor y = Tensor::empty(x.shape(), x.dtype(), x.device());
  choose(&Dropout2dOp::forward, x)(x, params.step, params.p, params.random, y);
  record("dropout2d", y, {x}, {{"step", params.step}},
         [p = params.p, random = params.random](const Tensor& dy, const Saved& saved,
                                                Gradients& gradients) {
           const auto [dx, write] = gradients.slot(0);
           choose(&Dropout2dOp::backward, dy)(dy, saved[0].tensor, p, random, write, dx);
         });
  return y;
}

std::vector<Case> Dropout2dOp::cases() {
  struct Setting {
    std::string name;
    Shape shape;
    float p = 0.5f;
  };
  std::vector<Case> cases;
  for (const auto& [name, shape, p] :
       {Setting{"one", {1, 1, 1, 1}}, Setting{"prime", {3, 5, 7, 11}, 0.25f},
        Setting{"one_pixel", {29, 1, 1, 67}, 0.1f},
        Setting{"channels_wider_than_block", {2, 3, 3, 521}},
        Setting{"pixels_wider_than_block", {2, 37, 41, 3}},
        Setting{"packs_wider_than_block", {2, 3, 3, 1028}},
        Setting{"packs_of_many_pixels", {2, 64, 67, 8}}, Setting{"empty", {0, 4, 4, 3}},
        Setting{"packs_of_two", {3, 4, 5, 6}}, Setting{"activations", {64, 14, 14, 32}},
        Setting{"512x32x32x64", {512, 32, 32, 64}}}) {
    const Operand x{"x", shape};
    const Operand step{"step", {1}, Fill::labels, DType::i32, 1000};
    const RandomStream random(7, "cases");
    const double flops = static_cast<double>(shape.elements());
    cases.push_back({.name = name,
                     .calls = {{.entry = "forward",
                                .inputs = {x, step},
                                .outputs = {{"y", shape}},
                                .run = run_entry(&Dropout2dOp::forward,
                                                 [p, random](auto forward, const Tensors& in,
                                                             const Tensors& out, Write) {
                                                   forward(in[0], in[1], p, random, out[0]);
                                                 }),
                                .flops = flops},
                               {.entry = "backward",
                                .inputs = {{"dy", shape}, step},
                                .outputs = {{"dx", shape}},
                                .accumulates = true,
                                .run = run_entry(&Dropout2dOp::backward,
                                                 [p, random](auto backward, const Tensors& in,
                                                             const Tensors& out, Write write) {
                                                   backward(in[0], in[1], p, random, write, out[0]);
                                                 }),
                                .flops = flops}},
                     .inputs = {x},
                     .function = [p, random](const Tensors& in) {
                       const Tensor step = Tensor::full({1}, 3, DType::i32, in[0].device());
                       return dropout2d(in[0], {.p = p, .random = random, .step = step});
                     }});
    if (shape.elements() > 100'000) cases.back().timed = Timed::everywhere;
    if (shape.elements() > 10'000'000) {
      cases.back().timed = Timed::gpu;
      cases.back().checked = false;
    }
  }
  return cases;
}

}  // namespace cucina
