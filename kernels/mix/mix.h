// mix: images of a batch blended (mixup) or pasted into one another (cutmix), and so their targets.
#pragma once

#include <string_view>
#include <vector>

#include "core/random.h"
#include "core/tensor.h"
#include "kernels/common/case.h"

namespace cucina {

// The alpha of Beta(alpha, alpha), from which an image's own share is drawn; 0: off. Where both are
// on, each image draws which, either as likely.
struct Mixing {
  float mixup = 0;
  float cutmix = 0;

  bool operator==(const Mixing&) const = default;
};

// Throws Error, naming what and its value, unless both are finite and not negative.
void check(const Mixing& how);

// The random numbers of the image at place b of the batch: number `draw` is word kMixDraws b + draw
// of `step`.
struct MixDraw {
  enum : unsigned { kind, radius, angle, box_row, box_column, shift };
};
inline constexpr unsigned kMixDraws = 8;  // a multiple of 4: whole blocks of Philox

struct MixParams {
  Mixing how = {};
  RandomStream random{0, "mix"};
  Tensor step = {};  // i32, one element, on x's device
};

struct MixedBatch {
  Tensor images;   // as x
  Tensor targets;  // (n, classes) f32, or f64 as x
};

// Image b is mixed with image b + 1 + shift of the batch, counted round, where shift is the same
// for all and uniform among 0 .. n - 2 (place 0 draws it); an only image with itself. Of its own
// share s ~ Beta(alpha, alpha):
//   mixup    y = s x[b] + (1 - s) x[partner]
//   cutmix   y = x[partner] in a box of floor(h sqrt(1 - s)) x floor(w sqrt(1 - s)) pixels around a
//            uniform pixel, as far as it lies in the image, and x[b] around it; s becomes the share
//            of the pixels that are x[b]'s
//   targets  s at label b plus 1 - s at the partner's; NaN where either is outside [0, classes)
//   x        (n, h, w, c) f32, f64 or bf16;   labels (n) i32
//   NaN      and Inf of an image reach what it has a share in
//   throws   Error when a shape, dtype or device does not fit, or an alpha is negative
//   source   Zhang et al. 2017, arXiv:1710.09412; Yun et al. 2019, arXiv:1905.04899;
//            s = (1 + T / sqrt(1 + T^2)) / 2 with T^2 = (U^(-1/alpha) - 1) cos^2(2 pi V): Bailey
//            1994, "Polar generation of random variates with the t-distribution", as Beta(alpha,
//            alpha) follows from t of 2 alpha degrees of freedom
MixedBatch mix(const Tensor& x, const Tensor& labels, int classes, const MixParams& params);

// What a backend provides.
struct MixOp {
  static constexpr std::string_view kName = "mix";
  DTypes dtypes;
  void (*batch)(const Tensor& x, const Tensor& labels, const MixParams& params,
                const MixedBatch& to);

  static MixOp reference();
  template <typename Target>
  static MixOp hand();
  // The libraries have no such op.
  template <typename Target>
  static MixOp vendor() {
    return {};
  }
  static std::vector<Case> cases();
};

}  // namespace cucina
