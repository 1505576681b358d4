// sgd: stochastic gradient descent, with momentum and weight decay.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "core/tensor.h"
#include "kernels/common/case.h"
#include "optim/common/step_state.h"

namespace cucina {

struct SgdParams {
  double momentum = 0;
  double dampening = 0;
  double weight_decay = 0;  // added to the gradient: L2
  bool nesterov = false;
  std::int64_t decayed = kAllElements;  // the decay is for that many first elements
};

// One step, in place, over a whole arena and in one launch, as torch.optim.SGD:
//   g = gradients + weight_decay parameters
//   b = g at step 0, then momentum b + (1 - dampening) g            with momentum
//   parameters -= lr (g + momentum b  with nesterov,  b  with momentum,  else g)
//   step += 1
//   parameters       any shape, f32 or f64; updated
//   gradients        as parameters
//   momentum_buffer  b, as parameters; updated; its elements do not matter at step 0. Unused, and
//                    may be undefined, when momentum is 0
//   bf16_copy        the new parameters rounded to bf16, written in the same pass; undefined: not
//                    wanted
//   NaN              in a gradient makes its parameter NaN
//   throws           Error when shapes, dtypes or devices differ, momentum, weight_decay or decayed
//                    is negative, or nesterov comes without momentum or with dampening
//   source   Sutskever, Martens, Dahl & Hinton 2013, "On the importance of initialization and
//            momentum in deep learning", as PyTorch modified it: lr scales b, not what b adds up
void sgd_step(const Tensor& parameters, const Tensor& gradients, const Tensor& momentum_buffer,
              const StepState& state, const SgdParams& params = {}, const Tensor& bf16_copy = {});

// What a backend provides.
struct SgdOp {
  static constexpr std::string_view kName = "sgd";
  DTypes dtypes;
  void (*step)(const Tensor& parameters, const Tensor& gradients, const Tensor& momentum_buffer,
               const StepState& state, const SgdParams& params, const Tensor& bf16_copy);

  static SgdOp reference();
  template <typename Target>
  static SgdOp hand();
  // The vendors' libraries have no optimisers.
  template <typename Target>
  static SgdOp vendor() {
    return {};
  }
  static std::vector<Case> cases();
};

}  // namespace cucina
