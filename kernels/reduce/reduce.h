// reduce: sums, means and maxima over any axes.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>
#include <vector>

#include "core/tensor.h"
#include "kernels/common/case.h"

namespace cucina {

// y = the sum over all elements of x whose indices along the other axes are the same.
//   x        f32, f64 or bf16, of any shape
//   axes     which to sum over, each once; a negative one counts from the end; none: all
//   keepdim  the axes stay, with size 1
//   returns  x's dtype and shape without `axes`; sums of bf16 are f32, rounded once. The sum of no
//            elements is 0
//   gradient dx = dy, the same for all elements of a sum
//   throws   Error when an axis is out of range or there twice
// `hand` adds in an order that depends on the shape alone: equal bits from run to run.
Tensor sum(const Tensor& x, const std::vector<int>& axes = {}, bool keepdim = false);

// The sum divided by the number of elements; NaN where there is none.
//   gradient dx = dy / number
Tensor mean(const Tensor& x, const std::vector<int>& axes = {}, bool keepdim = false);

// The largest element; NaN wins over every number.
//   gradient dy goes to the element that won; of equal ones (or of several NaN) to the first, in
//   the
//            order of memory
//   throws   Error also when there is no element to choose from, or more than 2^31 - 1
Tensor max(const Tensor& x, const std::vector<int>& axes = {}, bool keepdim = false);

// A shape and its axes with neighbours joined: kept[0], reduced[0], kept[1], ..., reduced[2],
// kept[3], outermost first. An element's place in y counts along the kept ones, its position in a
// reduction along the reduced ones.
struct ReduceGeometry {
  std::array<std::int64_t, 4> kept{1, 1, 1, 1};
  std::array<std::int64_t, 3> reduced{1, 1, 1};

  std::int64_t results() const { return kept[0] * kept[1] * kept[2] * kept[3]; }
  std::int64_t length() const { return reduced[0] * reduced[1] * reduced[2]; }
};

// What a backend provides. Scratch has as many elements as the function before it says; for max
// there are as many of i32, too.
struct ReduceOp {
  static constexpr std::string_view kName = "reduce";
  DTypes dtypes;
  std::int64_t (*scratch)(const ReduceGeometry& geometry);
  // With `average`, the mean.
  void (*sum_forward)(const Tensor& x, const ReduceGeometry& geometry, bool average,
                      const Tensor& scratch, const Tensor& y);
  void (*sum_backward)(const Tensor& dy, const ReduceGeometry& geometry, bool average, Write write,
                       const Tensor& dx);
  std::int64_t (*max_scratch)(const ReduceGeometry& geometry);
  // `index`, i32 of y's shape, receives the position of the element that won, for max_backward.
  void (*max_forward)(const Tensor& x, const ReduceGeometry& geometry, const Tensor& scratch,
                      const Tensor& index_scratch, const Tensor& y, const Tensor& index);
  void (*max_backward)(const Tensor& dy, const Tensor& index, const ReduceGeometry& geometry,
                       Write write, const Tensor& dx);

  static ReduceOp reference();
  template <typename Target>
  static ReduceOp hand();
  template <typename Target>
  static ReduceOp vendor();
  static std::vector<Case> cases();
  static CaseSpace space();
};

// cuDNN's reductions promise no order, and none can read fewer bytes.
template <>
inline ReduceOp ReduceOp::vendor<Gpu>() {
  return {};
}

}  // namespace cucina
