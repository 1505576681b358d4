// The factors of a convolution as implicit products of matrices, in the way MmaTile and FmaTile
// read them: images by pixels and taps, windows, gradients.
#pragma once

#include <cstdint>

#include "kernels/common/along.h"
#include "kernels/common/divisor.h"
#include "kernels/common/image_taps.h"
#include "kernels/common/pack.h"

namespace cucina {
// Every .cu file has its own copy: nvcc and g++ compile the same names to different code.
namespace {

// 16 bytes of an image's channels, `from` on, after the source's prologue.
template <typename Source, int kCount>
__device__ __forceinline__ Pack<typename Source::Element, kCount> sourced_chunk(
    const Source& source, std::int64_t from, int channel) {
  using T = typename Source::Element;
  const auto x = load_wide<kCount>(source.data + from);
  Pack<T, kCount> chunk;
  for (int j = 0; j < kCount; ++j) chunk.at[j] = T(source.apply(x.at[j], channel + j));
  return chunk;
}

// Rows of a: pixels; inner: taps. kWhole: 16 bytes of channels at a time.
template <typename Source, bool kInside, bool kWhole>
struct PixelRows {
  using Element = typename Source::Element;
  static constexpr Along kAlong = Along::inner;
  static constexpr bool kChunked = kWhole;
  static constexpr bool kPlain = std::is_same_v<Source, PlainSource<Element>>;
  static constexpr int kCount = 16 / static_cast<int>(sizeof(Element));
  const Element* data;
  const Source& source;
  const Part& part;
  const Pixel* pixels;  // a table in shared memory

  __device__ __forceinline__ Pixel outer(int i) const { return pixels[i]; }
  __device__ __forceinline__ Tap inner(std::int64_t l) const { return part.tap(part.tap_place(l)); }
  __device__ __forceinline__ const Element* at(const Pixel& pixel, const Tap& tap) const {
    return kInside || part.inside(pixel, tap) ? data + pixel.offset + tap.offset : nullptr;
  }
  __device__ __forceinline__ Element value(const Pixel& pixel, const Tap& tap) const
      requires(!kPlain && !kWhole) {
    return Element(part.element<kInside>(source, pixel, tap));
  }
  __device__ __forceinline__ Pack<Element, kCount> chunk(const Pixel& pixel, const Tap& tap) const
      requires(!kPlain && kWhole) {
    if (!kInside && !part.inside(pixel, tap)) return {};
    return sourced_chunk<Source, kCount>(source, pixel.offset + tap.offset,
                                         part.group * part.c + tap.c);
  }
};

// Columns of b: taps; inner: pixels of the forward correlation.
template <typename Source, bool kInside, bool kWhole>
struct TapColumns {
  using Element = typename Source::Element;
  static constexpr Along kAlong = Along::outer;
  static constexpr bool kChunked = kWhole;
  static constexpr bool kPlain = std::is_same_v<Source, PlainSource<Element>>;
  static constexpr int kCount = 16 / static_cast<int>(sizeof(Element));
  const Element* data;
  const Source& source;
  const Part& part;
  const Tap* taps;  // a table in shared memory; c negative: no such tap
  Divisor rows, columns;

  __device__ __forceinline__ Tap outer(int i) const { return taps[i]; }
  __device__ __forceinline__ Pixel inner(std::int64_t l) const {
    const std::int64_t row = columns.quotient(l), n = rows.quotient(row);
    return part.pixel({static_cast<unsigned>(n), static_cast<unsigned>(row - n * rows.value()),
                       static_cast<unsigned>(l - row * columns.value())});
  }
  __device__ __forceinline__ bool there(const Tap& tap, const Pixel& pixel) const {
    return tap.c >= 0 && (kInside || part.inside(pixel, tap));
  }
  __device__ __forceinline__ const Element* at(const Tap& tap, const Pixel& pixel) const {
    return there(tap, pixel) ? data + pixel.offset + tap.offset : nullptr;
  }
  __device__ __forceinline__ Element value(const Tap& tap, const Pixel& pixel) const
      requires(!kPlain && !kWhole) {
    if (!there(tap, pixel)) return Element(0.f);
    return Element(part.element<true>(source, pixel, tap));
  }
  __device__ __forceinline__ Pack<Element, kCount> chunk(const Tap& tap, const Pixel& pixel) const
      requires(!kPlain && kWhole) {
    if (!there(tap, pixel)) return {};
    return sourced_chunk<Source, kCount>(source, pixel.offset + tap.offset,
                                         part.group * part.c + tap.c);
  }
};

// Columns of b: output channels; inner: taps, as they lie side by side in a forward window.
template <typename T, bool kWhole>
struct WindowsByTap {
  using Element = T;
  static constexpr Along kAlong = Along::inner;
  static constexpr bool kChunked = kWhole;
  const Element* data;  // the group's
  int first, k;
  std::int64_t pitch;
  __device__ __forceinline__ const Element* outer(int i) const {
    return first + i < k ? data + (first + i) * pitch : nullptr;
  }
  __device__ __forceinline__ std::int64_t inner(std::int64_t l) const { return l; }
  __device__ __forceinline__ const Element* at(const Element* window, std::int64_t tap) const {
    return window != nullptr ? window + tap : nullptr;
  }
};

// Columns of b: channels of the convolution's input, side by side; inner: taps and channels of dy.
template <typename T, bool kWhole>
struct WindowsByChannel {
  using Element = T;
  static constexpr Along kAlong = Along::outer;
  static constexpr bool kChunked = kWhole;
  const Element* data;  // the group's
  const Correlation& g;
  const Part& part;
  int first;
  __device__ __forceinline__ int outer(int i) const { return first + i < g.k ? first + i : -1; }
  __device__ __forceinline__ std::int64_t inner(std::int64_t l) const {
    return part.weight(g, part.tap_place(l));
  }
  __device__ __forceinline__ const Element* at(int channel, std::int64_t weight) const {
    return channel >= 0 ? data + weight + channel : nullptr;
  }
};

// Rows of a: output channels, side by side; inner: pixels of dy.
template <typename T, bool kWhole>
struct GradientRows {
  using Element = T;
  static constexpr Along kAlong = Along::outer;
  static constexpr bool kChunked = kWhole;
  const Element* data;  // the group's first channel
  int first, k;
  std::int64_t pitch;
  __device__ __forceinline__ int outer(int i) const { return first + i < k ? first + i : -1; }
  __device__ __forceinline__ std::int64_t inner(std::int64_t l) const { return l * pitch; }
  __device__ __forceinline__ const Element* at(int channel, std::int64_t pixel) const {
    return channel >= 0 ? data + pixel + channel : nullptr;
  }
};

}  // namespace
}  // namespace cucina
