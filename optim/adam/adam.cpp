// adam's front door: checks and choice of backend; and its cases.
#include "optim/adam/adam.h"

#include "core/error.h"
#include "optim/common/checks.h"

namespace cucina {
namespace {

void check_beta(std::string_view name, double beta) {
  if (!(beta >= 0 && beta < 1)) fail("adam: {} is {} but must be in [0, 1)", name, beta);
}

}  // namespace

void adam_step(const Tensor& parameters, const Tensor& gradients, const Tensor& exp_avg,
               const Tensor& exp_avg_sq, const StepState& state, const AdamParams& params,
               const Tensor& bf16_copy) {
  check_like_parameters("adam", "gradients", gradients, parameters);
  check_like_parameters("adam", "exp_avg", exp_avg, parameters);
  check_like_parameters("adam", "exp_avg_sq", exp_avg_sq, parameters);
  check_state("adam", state, parameters);
  check_bf16_copy("adam", bf16_copy, parameters);
  check_beta("beta1", params.beta1);
  check_beta("beta2", params.beta2);
  check_not_negative("adam", "eps", params.eps);
  check_not_negative("adam", "weight_decay", params.weight_decay);
  check_not_negative("adam", "decayed", static_cast<double>(params.decayed));
  choose(&AdamOp::step, parameters)(parameters, gradients, exp_avg, exp_avg_sq, state, params,
                                    bf16_copy);
}

std::vector<Case> AdamOp::cases() {
  struct Setting {
    std::string name;
    std::int64_t n;
    AdamParams params = {};
    int steps = 1000;  // done before, a number below this one
    bool copies = false;
    Timed timed = Timed::nowhere;
  };
  std::vector<Case> cases;
  for (const auto& [name, n, params, steps, copies, timed] :
       {Setting{"one", 1}, Setting{"first_step", 257, {}, 1}, Setting{"prime", 257},
        Setting{"decoupled_decay", 1031, {.weight_decay = 0.1}},
        Setting{"l2", 1031, {.weight_decay = 0.1, .decoupled = false}},
        Setting{"decay_of_a_part", 1031, {.weight_decay = 0.1, .decayed = 517}},
        Setting{"l2_of_a_part", 1031, {.weight_decay = 0.1, .decoupled = false, .decayed = 517}},
        Setting{"other_betas", 1031, {.beta1 = 0.5, .beta2 = 0.9, .eps = 0.1}},
        Setting{"long_training", 1031, {}, 1 << 30}, Setting{"empty", 0},
        Setting{"bf16_copy", 257, {.weight_decay = 0.1}, 1000, true},
        Setting{"lenet", 61'706, {.weight_decay = 0.01}, 1000, false, Timed::everywhere},
        Setting{"large", 1 << 17, {.weight_decay = 0.01}},
        Setting{"resnet18", 11'173'962, {.weight_decay = 0.01}, 1000, false, Timed::gpu}}) {
    const Shape shape{n};
    const Operand parameters{"parameters", shape}, exp_avg{"exp_avg", shape};
    const Operand exp_avg_sq{"exp_avg_sq", shape, Fill::positive};
    const Operand step{"step", {1}, Fill::labels, DType::i32, steps};
    const Operand arrivals{"arrivals", {1}, Fill::labels, DType::i32, 1};
    // In place: the case's outputs start as copies of its inputs.
    const auto run = [params, copies](auto function, const Tensors& in, const Tensors& out, Write) {
      for (const std::size_t i : {0u, 1u, 2u, 3u, 4u}) out[i].copy_from(in[i]);
      function(out[0], in[6], out[1], out[2], {.lr = in[5], .step = out[3], .arrivals = out[4]},
               params, copies ? out[5] : Tensor());
    };
    Call call{.entry = "step",
              .inputs = {parameters,
                         exp_avg,
                         exp_avg_sq,
                         step,
                         arrivals,
                         {"lr", {1}, Fill::positive, DType::f32},
                         {"gradients", shape}},
              .outputs = {parameters, exp_avg, exp_avg_sq, step, arrivals},
              .run = run_entry(&AdamOp::step, run),
              .flops = 13 * static_cast<double>(n)};
    if (copies) call.outputs.push_back({"bf16_copy", shape, Fill::uniform, DType::bf16});
    cases.push_back(
        {.name = name, .calls = {call}, .timed = timed, .checked = timed != Timed::gpu});
  }
  return cases;
}

}  // namespace cucina
