// cast: the same numbers in another format.
#pragma once

#include <string_view>
#include <vector>

#include "core/tensor.h"
#include "kernels/common/case.h"

namespace cucina {

// y[i] = x[i], rounded to the nearest number of `dtype`, of two equally near to the even one,
// beyond the largest to Inf; f64 becomes bf16 by way of f32. NaN stays NaN.
//   x        any shape; f32, f64 or bf16
//   dtype    f32, f64 or bf16
//   returns  of x's shape; x itself when it is of `dtype`
//   gradient dx = dy in x's format
//   throws   Error when x or dtype is another
Tensor cast(const Tensor& x, DType dtype);

// What a backend provides. `dtypes` goes for both tensors.
struct CastOp {
  static constexpr std::string_view kName = "cast";
  DTypes dtypes;
  void (*forward)(const Tensor& x, const Tensor& y);
  void (*backward)(const Tensor& dy, Write write, const Tensor& dx);

  static CastOp reference();
  template <typename Target>
  static CastOp hand();
  template <typename Target>
  static CastOp vendor();
  static std::vector<Case> cases();
};

// cuDNN's cudnnTransformTensor takes two tensors of one type.
template <>
inline CastOp CastOp::vendor<Gpu>() {
  return {};
}

}  // namespace cucina
