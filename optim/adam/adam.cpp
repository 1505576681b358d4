// adam's front door: checks and choice of backend; and its cases.
#include "optim/adam/adam.h"

#include "core/error.h"
#include "optim/common/checks.h"

namespace cucina {
namespace {

void check_beta(std::string_view name, double beta) {
  if (!(beta >= 0 && beta < 1)) fail("adam: {} is {} but must be in [0, 1)", name, beta);
}

Tensor scratch_for(const Tensor& parameters) {
  return Tensor::empty({AdamOp::kScratch}, parameters.dtype(), parameters.device());
}

}  // namespace

void adam_step(const Tensor& parameters, const Tensor& gradients, const Tensor& exp_avg,
               const Tensor& exp_avg_sq, const AdamState& state, const AdamParams& params) {
  check_like_parameters("adam", "gradients", gradients, parameters);
  check_like_parameters("adam", "exp_avg", exp_avg, parameters);
  check_like_parameters("adam", "exp_avg_sq", exp_avg_sq, parameters);
  check_state_scalar("adam", "lr", state.lr, DType::f32, parameters);
  check_state_scalar("adam", "step", state.step, DType::i32, parameters);
  check_beta("beta1", params.beta1);
  check_beta("beta2", params.beta2);
  check_not_negative("adam", "eps", params.eps);
  check_not_negative("adam", "weight_decay", params.weight_decay);
  choose(&AdamOp::step, parameters)(parameters, gradients, exp_avg, exp_avg_sq, state, params,
                                    scratch_for(parameters));
}

std::vector<Case> AdamOp::cases() {
  struct Setting {
    std::string name;
    std::int64_t n;
    AdamParams params = {};
    int steps = 1000;  // done before, a number below this one
  };
  std::vector<Case> cases;
  for (const auto& [name, n, params, steps] :
       {Setting{"one", 1}, Setting{"first_step", 257, {}, 1}, Setting{"prime", 257},
        Setting{"decoupled_decay", 1031, {.weight_decay = 0.1}},
        Setting{"l2", 1031, {.weight_decay = 0.1, .decoupled = false}},
        Setting{"other_betas", 1031, {.beta1 = 0.5, .beta2 = 0.9, .eps = 0.1}},
        Setting{"long_training", 1031, {}, 1 << 30}, Setting{"empty", 0},
        Setting{"large", 1 << 20, {.weight_decay = 0.01}}}) {
    const Shape shape{n};
    const Operand parameters{"parameters", shape}, exp_avg{"exp_avg", shape};
    const Operand exp_avg_sq{"exp_avg_sq", shape, Fill::positive};
    const Operand step{"step", {1}, Fill::labels, DType::i32, steps};
    // In place: the case's outputs start as copies of its inputs.
    const auto run = [params](auto function, const Tensors& in, const Tensors& out, Write) {
      for (const std::size_t i : {0u, 1u, 2u, 3u}) out[i].copy_from(in[i]);
      function(out[0], in[5], out[1], out[2], {.lr = in[4], .step = out[3]}, params,
               scratch_for(in[0]));
    };
    cases.push_back({.name = name,
                     .calls = {{.entry = "step",
                                .inputs = {parameters,
                                           exp_avg,
                                           exp_avg_sq,
                                           step,
                                           {"lr", {1}, Fill::positive, DType::f32},
                                           {"gradients", shape}},
                                .outputs = {parameters, exp_avg, exp_avg_sq, step},
                                .run = run_entry(&AdamOp::step, run),
                                .flops = 13 * static_cast<double>(n)}}});
  }
  return cases;
}

}  // namespace cucina
