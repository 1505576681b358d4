// adam: Adam and AdamW.
#pragma once

#include <string_view>
#include <vector>

#include "core/tensor.h"
#include "kernels/common/case.h"

namespace cucina {

// The numbers that change from step to step, on the parameters' device, so that a step can be
// captured.
struct AdamState {
  Tensor lr;    // f32, one element
  Tensor step;  // i32, one element: steps done so far, 0 at first
};

struct AdamParams {
  double beta1 = 0.9;
  double beta2 = 0.999;
  double eps = 1e-8;
  double weight_decay = 0;
  bool decoupled = true;  // AdamW; false: Adam with L2, weight_decay parameters joins the gradient
};

// One step, in place, over a whole arena, as torch.optim.AdamW (decoupled) and Adam (not):
//   t = step += 1
//   parameters *= 1 - lr weight_decay                       decoupled
//   g = gradients, + weight_decay parameters                when not decoupled
//   m = beta1 m + (1 - beta1) g        v = beta2 v + (1 - beta2) g^2
//   parameters -= lr / (1 - beta1^t) m / (sqrt(v) / sqrt(1 - beta2^t) + eps)
//   parameters  any shape, f32 or f64; updated
//   gradients   as parameters
//   exp_avg     m, as parameters; updated; zeros at first
//   exp_avg_sq  v, as parameters; updated; zeros at first
//   NaN         in a gradient makes its parameter, m and v NaN
//   throws      Error when shapes, dtypes or devices differ, a beta is outside [0, 1), or eps or
//               weight_decay is negative
//   source   Kingma & Ba 2015, arXiv:1412.6980, algorithm 1; Loshchilov & Hutter 2019,
//            arXiv:1711.05101, algorithm 2, with the decay scaled by lr as PyTorch does
void adam_step(const Tensor& parameters, const Tensor& gradients, const Tensor& exp_avg,
               const Tensor& exp_avg_sq, const AdamState& state, const AdamParams& params = {});

// What a backend provides.
struct AdamOp {
  static constexpr std::string_view kName = "adam";
  // Elements, of the parameters' dtype, of the scratch memory a step needs.
  static constexpr int kScratch = 3;
  DTypes dtypes;
  void (*step)(const Tensor& parameters, const Tensor& gradients, const Tensor& exp_avg,
               const Tensor& exp_avg_sq, const AdamState& state, const AdamParams& params,
               const Tensor& scratch);

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
