// grad_norm: how large all gradients together are, and what keeps them from being larger.
#pragma once

#include <string_view>
#include <vector>

#include "core/tensor.h"
#include "kernels/common/case.h"

namespace cucina {

// sqrt(sum_i gradients[i]^2) over a whole arena. Squares are added in f64, in an order that depends
// on the number of elements alone: the same bits each time. Two launches.
//   gradients  any shape, f32, f64 or bf16
//   returns    one element on their device, f32 (f64 for f64); 0 without elements. Nobody waits for
//              the device until it is read
//   NaN        in a gradient makes the norm NaN; without NaN, Inf makes it Inf
Tensor gradient_norm(const Tensor& gradients);

// Scales the gradients, in place, by min(1, max_norm / (norm + 1e-6)), as
// torch.nn.utils.clip_grad_norm_. Two launches, and nobody waits for the device.
//   gradients  as for gradient_norm; updated
//   returns    the norm before, as gradient_norm
//   NaN        a NaN norm makes all gradients NaN; an Inf norm makes finite ones 0, the others NaN
//   throws     Error unless max_norm > 0
//   source   Pascanu, Mikolov & Bengio 2013, arXiv:1211.5063, algorithm 1
Tensor clip_gradient_norm(const Tensor& gradients, double max_norm);

// gradients[i] = min(max(gradients[i], -limit), limit), in place, as
// torch.nn.utils.clip_grad_value_. One launch.
//   gradients  as for gradient_norm; updated
//   NaN        stays NaN
//   throws     Error unless limit > 0
void clip_gradient_value(const Tensor& gradients, double limit);

// What a backend provides.
struct GradNormOp {
  static constexpr std::string_view kName = "grad_norm";
  DTypes dtypes;
  // `norm` as returned above; `scratch` holds scratch(elements) f64.
  void (*norm)(const Tensor& gradients, const Tensor& norm, const Tensor& scratch);
  void (*clip)(const Tensor& gradients, double max_norm, const Tensor& norm, const Tensor& scratch);
  void (*clip_value)(const Tensor& gradients, double limit);
  std::int64_t (*scratch)(std::int64_t elements);

  static GradNormOp reference();
  template <typename Target>
  static GradNormOp hand();
  // The vendors' libraries have no optimisers.
  template <typename Target>
  static GradNormOp vendor() {
    return {};
  }
  static std::vector<Case> cases();
};

}  // namespace cucina
