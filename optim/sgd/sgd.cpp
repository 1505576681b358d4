// sgd's front door: checks and choice of backend; and its cases.
#include "optim/sgd/sgd.h"

#include "core/error.h"
#include "optim/common/checks.h"

namespace cucina {
namespace {

void check(const SgdParams& params) {
  check_not_negative("sgd", "momentum", params.momentum);
  check_not_negative("sgd", "weight_decay", params.weight_decay);
  check_not_negative("sgd", "decayed", static_cast<double>(params.decayed));
  if (params.nesterov && (params.momentum == 0 || params.dampening != 0)) {
    fail("sgd: nesterov needs momentum above 0 and dampening 0, but they are {} and {}",
         params.momentum, params.dampening);
  }
}

}  // namespace

void sgd_step(const Tensor& parameters, const Tensor& gradients, const Tensor& momentum_buffer,
              const StepState& state, const SgdParams& params, const Tensor& bf16_copy) {
  check_like_parameters("sgd", "gradients", gradients, parameters);
  if (params.momentum != 0) {
    check_like_parameters("sgd", "momentum_buffer", momentum_buffer, parameters);
  }
  check_state("sgd", state, parameters);
  check_bf16_copy("sgd", bf16_copy, parameters);
  check(params);
  choose(&SgdOp::step, parameters)(parameters, gradients, momentum_buffer, state, params,
                                   bf16_copy);
}

std::vector<Case> SgdOp::cases() {
  struct Setting {
    std::string name;
    std::int64_t n;
    SgdParams params = {};
    int steps = 1000;  // done before, a number below this one
    bool copies = false;
    Timed timed = Timed::nowhere;
  };
  const SgdParams momentum{.momentum = 0.9, .weight_decay = 1e-2};
  const SgdParams part{.momentum = 0.9, .weight_decay = 0.1, .decayed = 517};
  std::vector<Case> cases;
  for (const auto& [name, n, params, steps, copies, timed] :
       {Setting{"one", 1}, Setting{"plain_prime", 257},
        Setting{"weight_decay", 1031, {.weight_decay = 0.1}},
        Setting{"weight_decay_of_a_part", 1031, {.weight_decay = 0.1, .decayed = 517}},
        Setting{"momentum_first_step", 1031, momentum, 1}, Setting{"momentum", 1031, momentum},
        Setting{"momentum_decay_of_a_part", 1031, part},
        Setting{"dampening", 1031, {.momentum = 0.9, .dampening = 0.5}},
        Setting{"nesterov", 1031, {.momentum = 0.9, .weight_decay = 1e-2, .nesterov = true}},
        Setting{"empty", 0, momentum}, Setting{"bf16_copy", 257, momentum, 1000, true},
        Setting{"plain_bf16_copy", 257, {}, 1000, true},
        Setting{"lenet", 61'706, momentum, 1000, false, Timed::everywhere},
        Setting{"large", 1 << 17, momentum},
        Setting{"resnet18", 11'173'962, momentum, 1000, false, Timed::gpu}}) {
    const Shape shape{n};
    const Operand parameters{"parameters", shape}, buffer{"momentum_buffer", shape};
    const Operand step{"step", {1}, Fill::labels, DType::i32, steps};
    const Operand arrivals{"arrivals", {1}, Fill::labels, DType::i32, 1};
    // In place: the case's outputs start as copies of its inputs.
    const auto run = [params, copies](auto function, const Tensors& in, const Tensors& out, Write) {
      for (const std::size_t i : {0u, 1u, 2u, 3u}) out[i].copy_from(in[i]);
      function(out[0], in[5], out[1], {.lr = in[4], .step = out[2], .arrivals = out[3]}, params,
               copies ? out[4] : Tensor());
    };
    Call call{.entry = "step",
              .inputs = {parameters,
                         buffer,
                         step,
                         arrivals,
                         {"lr", {1}, Fill::positive, DType::f32},
                         {"gradients", shape}},
              .outputs = {parameters, buffer, step, arrivals},
              .run = run_entry(&SgdOp::step, run),
              .flops = 7 * static_cast<double>(n)};
    if (copies) call.outputs.push_back({"bf16_copy", shape, Fill::uniform, DType::bf16});
    cases.push_back(
        {.name = name, .calls = {call}, .timed = timed, .checked = timed != Timed::gpu});
  }
  return cases;
}

}  // namespace cucina
