// sgd's front door: checks and choice of backend; and its cases.
#include "optim/sgd/sgd.h"

#include "core/error.h"
#include "optim/common/checks.h"

namespace cucina {
namespace {

void check(const SgdParams& params) {
  check_not_negative("sgd", "momentum", params.momentum);
  check_not_negative("sgd", "weight_decay", params.weight_decay);
  if (params.nesterov && (params.momentum == 0 || params.dampening != 0)) {
    fail("sgd: nesterov needs momentum above 0 and dampening 0, but they are {} and {}",
         params.momentum, params.dampening);
  }
}

}  // namespace

void sgd_step(const Tensor& parameters, const Tensor& gradients, const Tensor& momentum_buffer,
              const SgdState& state, const SgdParams& params) {
  check_like_parameters("sgd", "gradients", gradients, parameters);
  if (params.momentum != 0) {
    check_like_parameters("sgd", "momentum_buffer", momentum_buffer, parameters);
  }
  check_state_scalar("sgd", "lr", state.lr, DType::f32, parameters);
  check_state_scalar("sgd", "step", state.step, DType::i32, parameters);
  check(params);
  choose(&SgdOp::step, parameters)(parameters, gradients, momentum_buffer, state, params);
}

std::vector<Case> SgdOp::cases() {
  struct Setting {
    std::string name;
    std::int64_t n;
    SgdParams params = {};
    int steps = 1000;  // done before, a number below this one
  };
  const SgdParams momentum{.momentum = 0.9, .weight_decay = 1e-2};
  std::vector<Case> cases;
  for (const auto& [name, n, params, steps] :
       {Setting{"one", 1}, Setting{"plain_prime", 257},
        Setting{"weight_decay", 1031, {.weight_decay = 0.1}},
        Setting{"momentum_first_step", 1031, momentum, 1}, Setting{"momentum", 1031, momentum},
        Setting{"dampening", 1031, {.momentum = 0.9, .dampening = 0.5}},
        Setting{"nesterov", 1031, {.momentum = 0.9, .weight_decay = 1e-2, .nesterov = true}},
        Setting{"empty", 0, momentum}, Setting{"large", 1 << 20, momentum}}) {
    const Shape shape{n};
    const Operand parameters{"parameters", shape}, buffer{"momentum_buffer", shape};
    const Operand step{"step", {1}, Fill::labels, DType::i32, steps};
    // In place: the case's outputs start as copies of its inputs.
    const auto run = [params](auto function, const Tensors& in, const Tensors& out, Write) {
      out[0].copy_from(in[0]);
      out[1].copy_from(in[2]);
      out[2].copy_from(in[4]);
      function(out[0], in[1], out[1], {.lr = in[3], .step = out[2]}, params);
    };
    cases.push_back({.name = name,
                     .calls = {{.entry = "step",
                                .inputs = {parameters,
                                           {"gradients", shape},
                                           buffer,
                                           {"lr", {1}, Fill::positive, DType::f32},
                                           step},
                                .outputs = {parameters, buffer, step},
                                .run = run_entry(&SgdOp::step, run),
                                .flops = 7 * static_cast<double>(n)}}});
  }
  return cases;
}

}  // namespace cucina
