// augment: batches of images gathered from a data set of bytes, changed at random and standardised.
#pragma once

#include <string_view>
#include <vector>

#include "core/random.h"
#include "core/tensor.h"
#include "kernels/common/case.h"

namespace cucina {

// What lies outside of an image.
enum class Border : std::uint8_t {
  reflect,  // the image mirrored at the centres of its outer pixels: 2 1 | 0 1 2 3 | 2 1
  zero,     // black
};

// How images are changed. All of it is off by default; then an image is only standardised.
struct Augmentation {
  int crop = 0;      // the window moves by up to so many rows and columns either way
  float flip = 0;    // how likely left and right change places; in [0, 1]
  float rotate = 0;  // about the centre, by up to so many degrees either way; at most 180
  float scale = 0;   // about the centre, by a factor in 1 +- scale; at most 0.9
  Border border = Border::reflect;
  // Factors in 1 +- so much; at most 1. Of images of 1 or 3 channels, saturation of 3.
  float brightness = 0;
  float contrast = 0;
  float saturation = 0;
  int cutout = 0;  // side of a square that is blanked, in pixels

  bool operator==(const Augmentation&) const = default;
};

// Does `how` draw anything?
bool is_random(const Augmentation& how);
// Throws Error, naming what and its value, unless `how` suits images (h, w, c).
void check(const Augmentation& how, std::int64_t h, std::int64_t w, std::int64_t c);

// The random numbers of an image: number `draw` of image i of the set is word kDraws i + draw of
// `step`. So they depend on (seed, stream, step, i) alone, not on where in a batch the image is.
struct AugmentDraw {
  enum : unsigned {
    crop_row,
    crop_column,
    flip,
    angle,
    zoom,
    cutout_row,
    cutout_column,
    brightness,
    contrast,
    saturation
  };
};
inline constexpr unsigned kAugmentDraws = 12;  // a multiple of 4: whole blocks of Philox

struct AugmentInputs {
  Tensor images;   // (N, h, w, c) u8: the whole set
  Tensor indices;  // (n) i32: which of them
  // (c) f32, or f64 where the result is: what a pixel (0..255) is standardised by.
  Tensor mean;
  Tensor stddev;
};

struct AugmentParams {
  Augmentation how = {};
  DType dtype = DType::f32;
  RandomStream random{0, "augment"};
  // i32, one element, on the images' device; may be undefined where nothing is drawn.
  Tensor step = {};
};

// Batch image b is image i = indices[b] of the set, its pixel (row, column) being
//   1. cutout: 0, if rows [r0, r0 + cutout) and columns [s0, s0 + cutout) hold it, where the square
//      has its centre (r0 + cutout / 2, s0 + cutout / 2) on a random pixel of the image; else
//   2. flip, crop: with probability `flip` column -> w - 1 - column; then row += a and
//      column += b, each uniform among the integers of [-crop, crop];
//   3. rotate, scale: the image turned counterclockwise by a random angle and magnified by a random
//      zoom, both about its centre ((h - 1) / 2, (w - 1) / 2), read by bilinear interpolation of
//      pixels, those beyond the border as `border` says;
//   4. colour: v <- brightness (contrast (saturation v + (1 - saturation) gray) +
//      (1 - contrast) mean gray), clamped to [0, 255]; gray = 0.299 R + 0.587 G + 0.114 B of this
//      pixel, or v where c is 1, and mean gray its mean over the stored image;
//   5. (v - mean[c]) / stddev[c].
//   returns  (n, h, w, c) of params.dtype (f32, f64, bf16); outside the graph
//   indices  one outside [0, N) gives an image of NaN: only the device sees them
//   throws   Error when a shape, dtype or device does not fit, `how` is out of range, or step is
//            missing
//   source   crop, flip: Krizhevsky 2009, "Learning multiple layers of features from tiny images";
//            cutout: DeVries & Taylor 2017, arXiv:1708.04552; colour: as torchvision's ColorJitter,
//            in this order and clamped once
Tensor augment(const AugmentInputs& in, const AugmentParams& params = {});

// What a backend provides.
struct AugmentOp {
  static constexpr std::string_view kName = "augment";
  DTypes dtypes;
  void (*gather)(const AugmentInputs& in, const AugmentParams& params, const Tensor& y);

  static AugmentOp reference();
  template <typename Target>
  static AugmentOp hand();
  // The libraries have no such op.
  template <typename Target>
  static AugmentOp vendor() {
    return {};
  }
  static std::vector<Case> cases();
};

}  // namespace cucina
