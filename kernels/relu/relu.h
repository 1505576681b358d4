// relu: the rectifier.
#pragma once

#include <string_view>
#include <vector>

#include "core/tensor.h"
#include "kernels/common/case.h"

namespace cucina {

// y[i] = max(x[i], 0); NaN stays NaN.
//   x        any shape, f32 or f64
//   returns  as x
//   gradient dx[i] = dy[i] where y[i] > 0, else 0
//   source   Nair & Hinton 2010, "Rectified Linear Units Improve Restricted Boltzmann Machines"
Tensor relu(const Tensor& x);

// What a backend provides.
struct ReluOp {
  static constexpr std::string_view kName = "relu";
  DTypes dtypes;
  void (*forward)(const Tensor& x, const Tensor& y);
  // Needs only y: its sign is x's wherever a gradient flows.
  void (*backward)(const Tensor& dy, const Tensor& y, Write write, const Tensor& dx);

  static ReluOp reference();
  template <typename Target>
  static ReluOp hand();
  template <typename Target>
  static ReluOp vendor();
  static std::vector<Case> cases();
};

}  // namespace cucina
