// How kernels read images under windows: sources of elements, pixels and taps of one phase of a
// correlation, and how they write results.
#pragma once

#include <climits>
#include <cstdint>

#include "core/dtype.h"
#include "kernels/common/activation.h"
#include "kernels/common/correlation.h"
#include "kernels/common/pack.h"
#include "kernels/simt/simt.h"

namespace cucina {
// Every .cu file has its own copy: nvcc and g++ compile the same names to different code.
namespace {

// The elements of images as numbers to compute with. `channel` is of all groups.
template <typename T>
struct PlainSource {
  using Element = T;
  const T* data;
  __device__ __forceinline__ Compute<T> operator()(std::int64_t offset, int) const {
    return static_cast<Compute<T>>(data[offset]);
  }
  __device__ __forceinline__ Compute<T> apply(Compute<T> x, int) const { return x; }
};

// The same after a prologue: scale x + shift per channel, then relu on request.
template <typename T>
struct PrologueSource {
  using Element = T;
  const T* data;
  const Compute<T>* scale;
  const Compute<T>* shift;
  bool relu;
  __device__ __forceinline__ Compute<T> operator()(std::int64_t offset, int channel) const {
    return apply(static_cast<Compute<T>>(data[offset]), channel);
  }
  __device__ __forceinline__ Compute<T> apply(Compute<T> x, int channel) const {
    const Compute<T> value = fma(scale[channel], x, shift[channel]);
    return relu ? activation::value<Activation::relu>(value) : value;
  }
};

// A result's first tap, and a tap relative to it: together an element of the image.
struct Pixel {
  std::int64_t offset;  // of the group's first channel
  int y, x;
};
struct Tap {
  std::int64_t offset;
  int y, x;
  int c;  // within the group
};

// No tap of it is inside an image: taps are never negative.
__device__ __forceinline__ Pixel no_pixel() { return {0, INT_MIN, INT_MIN}; }

// One phase and one group of a correlation.
struct Part {
  Phase rows, columns;
  int group;
  int height, width;    // of the image
  int c, channels;      // of the image: per group, and of all groups
  std::int64_t pixels;  // results
  std::int64_t taps;    // of all channels

  __device__ __forceinline__ Part(const Correlation& g, int row_phase, int column_phase, int group)
      : rows(g.rows.phase(row_phase)),
        columns(g.columns.phase(column_phase)),
        group(group),
        height(g.rows.image),
        width(g.columns.image),
        c(g.c),
        channels(g.c * g.groups),
        pixels(std::int64_t{g.n} * rows.results * columns.results),
        taps(std::int64_t{rows.taps} * columns.taps * g.c) {}

  // Which image, row and column of the results.
  struct Place {
    unsigned n, i, j;
  };
  __device__ __forceinline__ Place place(std::int64_t pixel) const {
    const auto l = static_cast<unsigned>(pixel);
    const unsigned row = l / static_cast<unsigned>(columns.results);
    const unsigned n = row / static_cast<unsigned>(rows.results);
    return {n, row - n * static_cast<unsigned>(rows.results),
            l - row * static_cast<unsigned>(columns.results)};
  }
  __device__ __forceinline__ Pixel pixel(const Place& at) const {
    const int y = static_cast<int>(at.i) * rows.stride + rows.first;
    const int x = static_cast<int>(at.j) * columns.stride + columns.first;
    return {((static_cast<std::int64_t>(at.n) * height + y) * width + x) * channels +
                static_cast<std::int64_t>(group) * c,
            y, x};
  }
  // Where the result is in the output, in elements; `k` per group.
  __device__ __forceinline__ std::int64_t output(const Correlation& g, const Place& at) const {
    const std::int64_t row = static_cast<std::int64_t>(at.n) * g.rows.output + rows.to +
                             static_cast<std::int64_t>(at.i) * rows.to_step;
    const std::int64_t column = columns.to + static_cast<std::int64_t>(at.j) * columns.to_step;
    return ((row * g.columns.output + column) * g.groups + group) * g.k;
  }

  struct TapPlace {
    int r, s, c;
  };
  __device__ __forceinline__ TapPlace tap_place(std::int64_t tap) const {
    const auto l = static_cast<unsigned>(tap);
    if (rows.taps * columns.taps == 1) return {0, 0, static_cast<int>(l)};
    const unsigned position = l / static_cast<unsigned>(c);
    const unsigned r = position / static_cast<unsigned>(columns.taps);
    return {static_cast<int>(r),
            static_cast<int>(position - r * static_cast<unsigned>(columns.taps)),
            static_cast<int>(l - position * static_cast<unsigned>(c))};
  }
  __device__ __forceinline__ Tap tap(const TapPlace& at) const {
    const int y = at.r * rows.step, x = at.s * columns.step;
    return {(static_cast<std::int64_t>(y) * width + x) * channels + at.c, y, x, at.c};
  }
  // Where the tap's weight is in its window.
  __device__ __forceinline__ std::int64_t weight(const Correlation& g, const TapPlace& at) const {
    return (rows.tap + at.r * rows.tap_step) * g.window_row +
           (columns.tap + at.s * columns.tap_step) * g.window_column + at.c * g.window_in;
  }

  __device__ __forceinline__ bool inside(const Pixel& pixel, const Tap& tap) const {
    return static_cast<unsigned>(pixel.y + tap.y) < static_cast<unsigned>(height) &&
           static_cast<unsigned>(pixel.x + tap.x) < static_cast<unsigned>(width);
  }
  // kInside: every tap of every result is.
  template <bool kInside, typename Source>
  __device__ __forceinline__ auto element(const Source& source, const Pixel& pixel,
                                          const Tap& tap) const {
    using Real = Compute<typename Source::Element>;
    if (!kInside && !inside(pixel, tap)) return Real(0);
    return source(pixel.offset + tap.offset, group * c + tap.c);
  }
};

inline std::int64_t divide_up(std::int64_t a, std::int64_t b) { return (a + b - 1) / b; }

// Where sums go.
template <typename T>
struct Result {
  const T* bias;  // null where there is none; of all groups
  T* y;
  bool accumulate, relu;

  // One sum of channel `channel` of all groups.
  __device__ __forceinline__ T finished(Compute<T> sum, int channel, const T* to) const {
    if (bias != nullptr) sum += static_cast<Compute<T>>(bias[channel]);
    if (relu) sum = activation::value<Activation::relu>(sum);
    if (accumulate) sum += static_cast<Compute<T>>(*to);
    return T(sum);
  }
  __device__ __forceinline__ void put(std::int64_t offset, int channel, Compute<T> sum) const {
    T* const to = y + offset;
    *to = finished(sum, channel, to);
  }
  // Those of kWidth channels side by side, at an address for so many.
  template <int kWidth>
  __device__ __forceinline__ void put_pack(std::int64_t offset, int channel,
                                           Pack<Compute<T>, kWidth> sums) const {
    if (bias != nullptr) {
      const auto added = load_wide<kWidth>(bias + channel);
      for (int j = 0; j < kWidth; ++j) sums.at[j] += added.at[j];
    }
    if (relu) {
      for (int j = 0; j < kWidth; ++j) {
        sums.at[j] = activation::value<Activation::relu>(sums.at[j]);
      }
    }
    store_rounded(sums, y + offset, accumulate);
  }
};

}  // namespace
}  // namespace cucina
