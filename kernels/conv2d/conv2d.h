// conv2d: two-dimensional convolution, with bias and relu, and with a normalisation of its input on
// request.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "core/tensor.h"
#include "kernels/common/case.h"
#include "kernels/common/precision.h"

namespace cucina {

struct Conv2dParams {
  int stride = 1;
  int pad = 0;        // rows and columns of zeros on each side of x
  int dilation = 1;   // rows and columns from one tap of the window to the next
  int groups = 1;     // channels of a group see that group's alone; as many as channels: depthwise
  bool relu = false;  // apply it to the result
};

// What becomes of x as it is read: scale[c] x + shift[c], then relu on request. A normalisation
// whose statistics are known, applied without a pass of its own: scale = gamma / sqrt(var + eps),
// shift = beta - mean scale.
struct Conv2dPrologue {
  // (c) of x, same device and dtype, but f32 beside bf16; or both undefined
  Tensor scale = {}, shift = {};
  bool relu = false;
  bool defined() const { return scale.defined(); }
};

// Two-dimensional cross-correlation, in each group of channels
// y[n,p,q,k] = b[k] + sum_{r,s,c} x[n, p stride + r dilation - pad, q stride + s dilation - pad, c]
//                                 w[k,r,s,c],
// then y = max(y, 0), if params.relu.
//   x        (n, h, w, c) f32, f64 or bf16
//   w        (k, r, s, c / groups) same dtype and device;   b (k) or undefined
//   prologue applied to x first; padding stays zero
//   returns  (n, p, q, k), p = (h + 2 pad - dilation (r - 1) - 1) / stride + 1, rounded down. f32
//            operands may be rounded to tf32 where float32_precision() says so. A NaN or Inf of w
//            reaches the results whose taps lie in the padding, too; relu lets NaN through.
//   gradient dx, dw, db, dscale, dshift; those summed over pixels are summed by `hand` in a fixed
//            order: equal bits from run to run. `vendor` may not. relu passes dy where its result
//            is positive.
//   throws   Error when channels or groups disagree, a window exceeds the padded image, a param is
//            out of range, or a size is beyond 2^31 - 1
//   source   Dumoulin & Visin 2016, arXiv:1603.07285, relation 5
Tensor conv2d(const Tensor& x, const Tensor& w, const Tensor& b, const Conv2dParams& params = {},
              const Conv2dPrologue& prologue = {});

// Where the gradients of a prologue go. An undefined tensor is a gradient nobody wants.
struct Conv2dPrologueGradients {
  Tensor dx;
  Write dx_write = Write::overwrite;
  Tensor dscale;
  Write dscale_write = Write::overwrite;
  Tensor dshift;
  Write dshift_write = Write::overwrite;
};

// For backends whose entries want none.
inline std::int64_t no_backward_weight_scratch(const Tensor&, const Tensor&, const Conv2dParams&,
                                               const Shape&) {
  return 0;
}
inline std::int64_t no_backward_bias_scratch(const Shape&) { return 0; }

// What a backend provides. Scratch is memory of compute_dtype that lives for the call: the front
// door allocates as many elements as the entry's ..._scratch says (and passes an undefined Tensor
// for 0). dy is the gradient before relu, once backward_relu has been over it.
struct Conv2dOp {
  static constexpr std::string_view kName = "conv2d";
  static constexpr bool kTensorCores = true;
  // Where the result has to be that of f32, cuDNN's deterministic algorithms are slow.
  static bool hand_first_on_gpu(DType dtype) {
    return dtype == DType::f32 && float32_precision() == Precision::f32;
  }
  DTypes dtypes;
  // b is undefined where there is none.
  void (*forward)(const Tensor& x, const Tensor& w, const Tensor& b, const Conv2dParams& params,
                  const Tensor& y);
  void (*forward_prologue)(const Tensor& x, const Conv2dPrologue& prologue, const Tensor& w,
                           const Tensor& b, const Conv2dParams& params, const Tensor& y);
  void (*backward_input)(const Tensor& dy, const Tensor& w, const Conv2dParams& params, Write write,
                         const Tensor& dx);
  void (*backward_weight)(const Tensor& dy, const Tensor& x, const Conv2dParams& params,
                          Write write, const Tensor& dw, const Tensor& scratch);
  std::int64_t (*backward_weight_scratch)(const Tensor& dy, const Tensor& x,
                                          const Conv2dParams& params, const Shape& dw);
  void (*backward_weight_prologue)(const Tensor& dy, const Tensor& x,
                                   const Conv2dPrologue& prologue, const Conv2dParams& params,
                                   Write write, const Tensor& dw, const Tensor& scratch);
  std::int64_t (*backward_weight_prologue_scratch)(const Tensor& dy, const Tensor& x,
                                                   const Conv2dParams& params, const Shape& dw);
  void (*backward_bias)(const Tensor& dy, Write write, const Tensor& db, const Tensor& scratch);
  std::int64_t (*backward_bias_scratch)(const Shape& dy);
  // dz = y > 0 ? dy : 0
  void (*backward_relu)(const Tensor& dy, const Tensor& y, const Tensor& dz);
  // da is the gradient of what the prologue made of x.
  void (*backward_prologue)(const Tensor& da, const Tensor& x, const Conv2dPrologue& prologue,
                            const Conv2dPrologueGradients& to, const Tensor& scratch);
  std::int64_t (*backward_prologue_scratch)(const Shape& x);

  static Conv2dOp reference();
  template <typename Target>
  static Conv2dOp hand();
  template <typename Target>
  static Conv2dOp vendor();
  static std::vector<Case> cases();
  static CaseSpace space();
};

}  // namespace cucina
