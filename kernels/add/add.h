// add: the sum of two tensors, a residual connection's end.
#pragma once

#include <string_view>
#include <vector>

#include "core/tensor.h"
#include "kernels/common/case.h"

namespace cucina {

// y[i] = a[i] + b[i].
//   a, b     any shape, the same for both (no broadcasting); f32 or f64
//   returns  as a
//   gradient da = db = dy
//   throws   Error when shapes, dtypes or devices differ
Tensor add(const Tensor& a, const Tensor& b);

// What a backend provides.
struct AddOp {
  static constexpr std::string_view kName = "add";
  DTypes dtypes;
  void (*forward)(const Tensor& a, const Tensor& b, const Tensor& y);
  // The gradient of one operand, dx = dy: the front door calls it once for each that is wanted.
  void (*backward)(const Tensor& dy, Write write, const Tensor& dx);

  static AddOp reference();
  template <typename Target>
  static AddOp hand();
  template <typename Target>
  static AddOp vendor();
  static std::vector<Case> cases();
};

}  // namespace cucina
