// ema's front door: checks and choice of backend; and its cases.
#include "optim/ema/ema.h"

#include "optim/common/checks.h"

namespace cucina {

void ema_step(const Tensor& average, const Tensor& parameters, const Tensor& decay,
              const Tensor& step) {
  check_like_parameters("ema", "average", average, parameters);
  check_state_scalar("ema", "decay", decay, DType::f32, parameters);
  if (step.defined()) check_state_scalar("ema", "step", step, DType::i32, parameters);
  choose(&EmaOp::step, parameters)(average, parameters, decay, step);
}

std::vector<Case> EmaOp::cases() {
  struct Setting {
    std::string name;
    std::int64_t n;
    bool warms_up = false;
    int steps = 1000;  // done before, a number below this one
    Timed timed = Timed::nowhere;
  };
  std::vector<Case> cases;
  for (const auto& [name, n, warms_up, steps, timed] :
       {Setting{"one", 1}, Setting{"prime", 257}, Setting{"first_step", 1031, true, 1},
        Setting{"early_step", 1031, true, 10}, Setting{"late_step", 1031, true, 1 << 30},
        Setting{"empty", 0}, Setting{"lenet", 61'706, true, 1000, Timed::everywhere},
        Setting{"resnet18", 11'173'962, true, 1000, Timed::gpu}}) {
    const Shape shape{n};
    const Operand average{"average", shape};
    // In place: the output starts as a copy of the input. Half of `decay`, which is in [0.5, 1.5],
    // is in [0.25, 0.75], on both sides of the warm-up.
    const auto run = [warms_up](auto function, const Tensors& in, const Tensors& out, Write) {
      out[0].copy_from(in[0]);
      function(out[0], in[1], in[2], warms_up ? in[3] : Tensor());
    };
    cases.push_back({.name = name,
                     .calls = {{.entry = "step",
                                .inputs = {average,
                                           {"parameters", shape},
                                           {"decay", {1}, Fill::positive, DType::f32},
                                           {"step", {1}, Fill::labels, DType::i32, steps}},
                                .outputs = {average},
                                .run = run_entry(&EmaOp::step, run),
                                .prepare = [](Tensors& in) { in[2].fill(0.5 * in[2].item()); },
                                .flops = 2 * static_cast<double>(n)}},
                     .timed = timed,
                     .checked = timed != Timed::gpu});
  }
  return cases;
}

}  // namespace cucina
