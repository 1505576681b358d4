// Correlations of images with windows: their geometry, and the two ways a block reads an image,
// as a patch in shared memory or element by element.
#pragma once

#include <algorithm>
#include <cstdint>

#include "kernels/simt/simt.h"

namespace cucina {
// Every .cu file has its own copy: nvcc and g++ compile the same names to different code.
namespace {

// A correlation of images (n, h, w, c) with k windows of r x s. Forward it is the convolution
// itself. backward_input correlates dy, its elements `dilate` = stride apart with zeros between and
// around, with the windows turned by 180 degrees (Dumoulin & Visin 2016, relation 14).
struct Correlation {
  int n, h, w, c;               // images
  int p, q, k;                  // result
  int r, s;                     // window
  int stride;                   // of the window
  int dilate;                   // of the images
  int first_row, first_column;  // of the first window's first tap, in the dilated image: -pad

  std::int64_t pixels() const { return std::int64_t{n} * p * q; }

  // The row (or column, of `size`) of the image at dilated position `v`; negative: a zero is there.
  __device__ int source(int v, int size) const {
    if (dilate > 1) {
      if (v % dilate != 0) return -1;
      v /= dilate;
    }
    return v < size ? v : -1;
  }
};

// A band of result rows of one image, and the patch of the image under its windows.
struct Band {
  int rows;           // of the result, at most
  int patch_rows;     // of the image
  int patch_columns;  // likewise
  int channels;       // per element of the patch, zeros beyond c

  __device__ int pitch() const { return patch_columns * channels; }
  __device__ int patch_elements() const { return patch_rows * pitch(); }
};

constexpr std::int64_t kSharedElements = 12 * 1024;  // 48 KiB in f32

// The tallest band of at most `most_pixels` whose patch, `fixed` more elements and `per_pixel` for
// each pixel fit shared memory; no rows when bands would be too small to be worth it.
Band plan_band(const Correlation& g, int channels, std::int64_t most_pixels, std::int64_t fixed,
               std::int64_t per_pixel) {
  constexpr std::int64_t kFewestPixels = 96;
  const std::int64_t columns = (g.q - 1) * std::int64_t{g.stride} + g.s;
  std::int64_t rows = std::clamp<std::int64_t>(most_pixels / g.q, 1, g.p);
  const auto elements = [&] {
    return ((rows - 1) * g.stride + g.r) * columns * channels + fixed + per_pixel * rows * g.q;
  };
  while (rows > 0 && elements() > kSharedElements) --rows;
  if (rows == 0 || (rows < g.p && rows * g.q < kFewestPixels)) return {};
  const std::int64_t bands = (g.p + rows - 1) / rows;
  rows = (g.p + bands - 1) / bands;  // all bands about as tall
  return {.rows = static_cast<int>(rows),
          .patch_rows = static_cast<int>((rows - 1) * g.stride + g.r),
          .patch_columns = static_cast<int>(columns),
          .channels = channels};
}

int bands_of(const Correlation& g, const Band& band) { return (g.p + band.rows - 1) / band.rows; }

unsigned whole_warps(std::int64_t threads) {
  return static_cast<unsigned>((threads + 31) / 32 * 32);
}

// Fills the patch under the band of `image` that begins at result row `row`.
template <typename Real>
__device__ void load_patch(const Correlation& g, const Band& band, const Real* image, int row,
                           Real* patch) {
  const int positions = band.patch_rows * band.patch_columns;
  for (int i = static_cast<int>(threadIdx.x); i < positions; i += static_cast<int>(blockDim.x)) {
    const int patch_row = i / band.patch_columns;
    const int y = g.source(row * g.stride + patch_row + g.first_row, g.h);
    const int x = g.source(i - patch_row * band.patch_columns + g.first_column, g.w);
    const bool inside = y >= 0 && x >= 0;
    const Real* const from =
        inside ? image + (static_cast<std::int64_t>(y) * g.w + x) * g.c : image;
    for (int c = 0; c < band.channels; ++c) {
      patch[i * band.channels + c] = inside && c < g.c ? from[c] : Real(0);
    }
  }
}

// The windows' first tap at one pixel of the result, and one tap of the window: together an
// element of the image.
struct Pixel {
  std::int64_t image;  // its offset; negative: no such pixel
  int y, x;            // in the dilated image
};
struct Tap {
  int r, s, c;
};

__device__ Pixel pixel_at(const Correlation& g, std::int64_t pixel) {
  const auto i = static_cast<unsigned>(pixel);
  const unsigned row = i / static_cast<unsigned>(g.q);
  const unsigned n = row / static_cast<unsigned>(g.p);
  return {static_cast<std::int64_t>(n) * g.h * g.w * g.c,
          static_cast<int>(row % static_cast<unsigned>(g.p)) * g.stride + g.first_row,
          static_cast<int>(i % static_cast<unsigned>(g.q)) * g.stride + g.first_column};
}

__device__ Tap tap_at(const Correlation& g, std::int64_t tap) {
  const int i = static_cast<int>(tap);
  const int position = i / g.c;
  return {position / g.s, position % g.s, i - position * g.c};
}

template <typename Real>
__device__ Real element(const Correlation& g, const Real* images, const Pixel& pixel,
                        const Tap& tap) {
  const int y = g.source(pixel.y + tap.r, g.h);
  const int x = g.source(pixel.x + tap.s, g.w);
  if (pixel.image < 0 || y < 0 || x < 0) return Real(0);
  return images[pixel.image + (static_cast<std::int64_t>(y) * g.w + x) * g.c + tap.c];
}

}  // namespace
}  // namespace cucina
