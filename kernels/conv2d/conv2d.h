// conv2d: two-dimensional convolution.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "core/tensor.h"
#include "kernels/common/case.h"

namespace cucina {

struct Conv2dParams {
  int stride = 1;
  int pad = 0;  // rows and columns of zeros on each side of x
};

// Two-dimensional cross-correlation,
// y[n,p,q,k] = b[k] + sum_{r,s,c} x[n, p*stride+r-pad, q*stride+s-pad, c] w[k,r,s,c].
//   x        (n, h, w, c) f32 or f64
//   w        (k, r, s, c) same dtype and device;   b (k) or undefined
//   returns  (n, p, q, k), p = (h + 2 pad - r) / stride + 1, rounded down
//   gradient dx, dw, db; dw and db of `hand` sum blocks in a fixed order: equal bits from run to
//            run. `vendor` may not.
//   throws   Error when channels differ, a window exceeds the padded image, stride < 1, pad < 0, or
//            a size is beyond 2^31 - 1
//   source   Dumoulin & Visin 2016, arXiv:1603.07285, relation 5
Tensor conv2d(const Tensor& x, const Tensor& w, const Tensor& b, const Conv2dParams& params = {});

// For backends whose entries want none.
inline std::int64_t no_backward_weight_scratch(const Shape&, const Shape&, const Conv2dParams&,
                                               const Shape&) {
  return 0;
}
inline std::int64_t no_backward_bias_scratch(const Shape&) { return 0; }

// What a backend provides. Scratch is memory of the same dtype that lives for the call: the front
// door allocates as many elements as the entry's ..._scratch says (and passes an undefined Tensor
// for 0).
struct Conv2dOp {
  static constexpr std::string_view kName = "conv2d";
  DTypes dtypes;
  // b is undefined where there is none.
  void (*forward)(const Tensor& x, const Tensor& w, const Tensor& b, const Conv2dParams& params,
                  const Tensor& y);
  void (*backward_input)(const Tensor& dy, const Tensor& w, const Conv2dParams& params, Write write,
                         const Tensor& dx);
  void (*backward_weight)(const Tensor& dy, const Tensor& x, const Conv2dParams& params,
                          Write write, const Tensor& dw, const Tensor& scratch);
  std::int64_t (*backward_weight_scratch)(const Shape& dy, const Shape& x,
                                          const Conv2dParams& params, const Shape& dw);
  void (*backward_bias)(const Tensor& dy, Write write, const Tensor& db, const Tensor& scratch);
  std::int64_t (*backward_bias_scratch)(const Shape& dy);

  static Conv2dOp reference();
  template <typename Target>
  static Conv2dOp hand();
  template <typename Target>
  static Conv2dOp vendor();
  static std::vector<Case> cases();
};

}  // namespace cucina
