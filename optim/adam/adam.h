// adam: Adam and AdamW.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "core/tensor.h"
#include "kernels/common/case.h"
#include "optim/common/step_state.h"

namespace cucina {

struct AdamParams {
  double beta1 = 0.9;
  double beta2 = 0.999;
  double eps = 1e-8;
  double weight_decay = 0;
  bool decoupled = true;  // AdamW; false: Adam with L2, weight_decay parameters joins the gradient
  std::int64_t decayed = kAllElements;  // the decay is for that many first elements
};

// One step, in place, over a whole arena and in one launch, as torch.optim.AdamW (decoupled) and
// Adam (not):
//   t = step += 1
//   parameters *= 1 - lr weight_decay                       decoupled
//   g = gradients, + weight_decay parameters                when not decoupled
//   m = beta1 m + (1 - beta1) g        v = beta2 v + (1 - beta2) g^2
//   parameters -= lr / (1 - beta1^t) m / (sqrt(v) / sqrt(1 - beta2^t) + eps)
//   parameters  any shape, f32 or f64; updated
//   gradients   as parameters
//   exp_avg     m, as parameters; updated; zeros at first
//   exp_avg_sq  v, as parameters; updated; zeros at first
//   bf16_copy   the new parameters rounded to bf16, written in the same pass; undefined: not wanted
//   NaN         in a gradient makes its parameter, m and v NaN
//   throws      Error when shapes, dtypes or devices differ, a beta is outside [0, 1), or eps,
//               weight_decay or decayed is negative
//   source   Kingma & Ba 2015, arXiv:1412.6980, algorithm 1; Loshchilov & Hutter 2019,
//            arXiv:1711.05101, algorithm 2, with the decay scaled by lr as PyTorch does
void adam_step(const Tensor& parameters, const Tensor& gradients, const Tensor& exp_avg,
               const Tensor& exp_avg_sq, const StepState& state, const AdamParams& params = {},
               const Tensor& bf16_copy = {});

// What a backend provides.
struct AdamOp {
  static constexpr std::string_view kName = "adam";
  DTypes dtypes;
  void (*step)(const Tensor& parameters, const Tensor& gradients, const Tensor& exp_avg,
               const Tensor& exp_avg_sq, const StepState& state, const AdamParams& params,
               const Tensor& bf16_copy);

  static AdamOp reference();
  template <typename Target>
  static AdamOp hand();
  // The vendors' libraries have no optimisers.
  template <typename Target>
  static AdamOp vendor() {
    return {};
  }
  static std::vector<Case> cases();
};

}  // namespace cucina
