// binary: the sum, difference or product of two tensors, or of a tensor and a vector over its
// channels.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "core/tensor.h"
#include "kernels/common/case.h"

namespace cucina {

// y[i] = a[i] op b[i]; or, for b (c) where c is the size of a's last axis, y[..., j] = a[..., j] op
// b[j]: a bias or a scale for each channel of (n, h, w, c).
//   a        any shape; f32, f64 or bf16
//   b        as a, or (c); same dtype and device
//   returns  as a
//   gradient add: da = dy, db = dy;  sub: da = dy, db = -dy;  mul: da = dy b, db = dy a. For b (c)
//            db is the sum of that over all but the last axis, in f32 for bf16; `hand` adds in a
//            fixed order: equal bits from run to run
//   throws   Error when shapes, dtypes or devices do not agree
Tensor add(const Tensor& a, const Tensor& b);
Tensor sub(const Tensor& a, const Tensor& b);
Tensor mul(const Tensor& a, const Tensor& b);

enum class Binary : std::uint8_t { add, sub, mul };

// What a backend provides.
struct BinaryOp {
  static constexpr std::string_view kName = "binary";
  static bool hand_first_on_gpu(DType) { return true; }
  DTypes dtypes;
  void (*forward)(const Tensor& a, const Tensor& b, Binary kind, const Tensor& y);
  // b is read for mul alone, and else undefined.
  void (*backward_a)(const Tensor& dy, const Tensor& b, Binary kind, Write write, const Tensor& da);
  // a is read for mul alone, and else undefined. `scratch` is for a db (c) of another shape than
  // dy's and has as many elements as backward_b_scratch() says.
  void (*backward_b)(const Tensor& dy, const Tensor& a, Binary kind, Write write, const Tensor& db,
                     const Tensor& scratch);
  std::int64_t (*backward_b_scratch)(const Shape& dy, const Shape& db);

  static BinaryOp reference();
  template <typename Target>
  static BinaryOp hand();
  template <typename Target>
  static BinaryOp vendor();
  static std::vector<Case> cases();
};

}  // namespace cucina
