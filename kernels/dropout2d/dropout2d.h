// dropout2d: zeroes whole channels at random.
#pragma once

#include <string_view>
#include <vector>

#include "core/random.h"
#include "core/tensor.h"
#include "kernels/common/case.h"

namespace cucina {

struct Dropout2dParams {
  float p = 0.5f;        // how likely a channel is dropped; in [0, 1)
  bool training = true;  // false: dropout2d does nothing
  RandomStream random{0, "dropout2d"};
  // The training step: i32, one element, on x's device, so that a captured step draws another mask
  // each time. It must hold the same number until backward has run: the mask is not stored but
  // drawn again.
  Tensor step = {};
};

// y[n,h,w,c] = x[n,h,w,c] m[n,c] / (1 - p), where the mask m[n,c] is 0 with probability p, else 1,
// independently of the others: m[n,c] = random.uniform(step, n C + c) >= p, with C channels.
//   x        (n, h, w, c) f32, f64 or bf16
//   returns  as x; x itself when training is false or p is 0
//   gradient dx = dy m / (1 - p)
//   NaN      stays NaN, and Inf becomes NaN, in a dropped channel too: it is multiplied by 0
//   throws   Error when x is not of rank 4, p is outside [0, 1), or step is missing or wrong
//   source   Tompson et al. 2015, "Efficient Object Localization Using Convolutional Networks",
//            arXiv:1411.4280, section 3.2
Tensor dropout2d(const Tensor& x, const Dropout2dParams& params);

// What a backend provides.
struct Dropout2dOp {
  static constexpr std::string_view kName = "dropout2d";
  DTypes dtypes;
  void (*forward)(const Tensor& x, const Tensor& step, float p, const RandomStream& random,
                  const Tensor& y);
  void (*backward)(const Tensor& dy, const Tensor& step, float p, const RandomStream& random,
                   Write write, const Tensor& dx);

  static Dropout2dOp reference();
  template <typename Target>
  static Dropout2dOp hand();
  // The libraries' dropouts drop elements, not channels, and draw numbers of their own.
  template <typename Target>
  static Dropout2dOp vendor() {
    return {};
  }
  static std::vector<Case> cases();
};

}  // namespace cucina
