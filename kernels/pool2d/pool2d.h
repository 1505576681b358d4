// pool2d: the maximum or the average over windows of an image, or over all of it.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "core/tensor.h"
#include "kernels/common/case.h"

namespace cucina {

// Square windows, the same along both sides; they may overlap (stride < window) or leave gaps.
struct Pool2dParams {
  int window = 2;  // at most 15, so that a position in it fits one byte
  int stride = 2;
  int pad = 0;        // rows and columns around the image; less than window
  bool relu = false;  // max_pool2d: apply it to the result
};

// y[n,p,q,c] = max over r, s in [0, window) of x[n, p*stride+r-pad, q*stride+s-pad, c], pixels of
// the padding left out; then y = max(y, 0), if params.relu, which is also the maximum of what relu
// makes of x. NaN wins over every number.
//   x        (n, h, w, c) f32, f64 or bf16
//   returns  (n, p, q, c), p = (h + 2 pad - window) / stride + 1, rounded down
//   gradient dy goes to the pixel that won; of equal ones (or of several NaN) to the first, row by
//            row; to none where relu's result is not positive
//   throws   Error when x is not of rank 4, a param is out of range, or the window exceeds the
//            padded image
//   source   Goodfellow et al. 2016, "Deep Learning", section 9.3
Tensor max_pool2d(const Tensor& x, const Pool2dParams& params = {});

// The same with the sum over the window divided by window^2: the padding counts as zeros, as
// PyTorch's count_include_pad=True. A NaN reaches every window that covers it.
//   gradient each pixel receives dy / window^2 from every window that covers it
//   throws   as max_pool2d; and when params.relu
Tensor avg_pool2d(const Tensor& x, const Pool2dParams& params = {});

// y[n,c] = the mean of x[n,:,:,c].
//   x        (n, h, w, c) f32, f64 or bf16, with h, w >= 1
//   returns  (n, c)
//   gradient dx[n,h,w,c] = dy[n,c] / (h w)
//   throws   Error when x is not of rank 4 or has no pixels
//   source   Lin et al. 2013, "Network in Network", arXiv:1312.4400, section 3.2
Tensor global_avg_pool(const Tensor& x);

// What a backend provides.
struct Pool2dOp {
  static constexpr std::string_view kName = "pool2d";
  static constexpr std::uint8_t kNoPixel = 255;
  DTypes dtypes;
  // `index`, u8 of y's shape, receives r * window + s of the pixel that won, or kNoPixel where relu
  // lets nothing through, for max_backward; undefined: nobody wants it.
  void (*max_forward)(const Tensor& x, const Pool2dParams& params, const Tensor& y,
                      const Tensor& index);
  void (*max_backward)(const Tensor& dy, const Tensor& index, const Pool2dParams& params,
                       Write write, const Tensor& dx);
  void (*average_forward)(const Tensor& x, const Pool2dParams& params, const Tensor& y);
  void (*average_backward)(const Tensor& dy, const Pool2dParams& params, Write write,
                           const Tensor& dx);
  void (*global_average_forward)(const Tensor& x, const Tensor& y);
  void (*global_average_backward)(const Tensor& dy, Write write, const Tensor& dx);

  static Pool2dOp reference();
  template <typename Target>
  static Pool2dOp hand();
  template <typename Target>
  static Pool2dOp vendor();
  static std::vector<Case> cases();
  static CaseSpace space();
};

}  // namespace cucina
