// conv2d as implicit products of matrices, pixels by taps: the image is never copied apart.
#include "kernels/common/divisor.h"
#include "kernels/common/image_taps.h"
#include "kernels/common/product_tile.h"
#include "kernels/conv2d/kernels.h"

namespace cucina {
namespace {

using conv2d_kernels::Correlate;
using conv2d_kernels::WeightGradient;

// Factors of the products, as ProductTile reads them.

template <typename Source, bool kInside>
struct TapsOfPixels {  // outer: pixels of a table, inner: taps
  static constexpr Along kAlong = Along::inner;
  const Part& part;
  const Source& source;
  const Pixel* pixels;
  __device__ Tap inner(std::int64_t l) const { return part.tap(part.tap_place(l)); }
  __device__ auto operator()(int outer, const Tap& tap) const {
    return part.element<kInside>(source, pixels[outer], tap);
  }
};

template <typename Real>
struct TapsOfWindows {  // outer: output channels, inner: taps
  static constexpr Along kAlong = Along::inner;
  const Correlation& g;
  const Part& part;
  const Real* windows;  // of the group
  int first_channel;
  __device__ std::int64_t inner(std::int64_t l) const { return part.weight(g, part.tap_place(l)); }
  __device__ Real operator()(int outer, std::int64_t offset) const {
    const int k = first_channel + outer;
    return k < g.k ? windows[k * g.window_out + offset] : Real(0);
  }
};

template <typename Source, bool kInside>
struct PixelsOfTaps {  // outer: taps of a table, inner: pixels
  static constexpr Along kAlong = Along::outer;
  const Part& part;
  const Source& source;
  const Tap* taps;  // c negative: no such tap
  Divisor rows, columns;
  __device__ Pixel inner(std::int64_t l) const {
    const std::int64_t row = columns.quotient(l), n = rows.quotient(row);
    return part.pixel({static_cast<unsigned>(n), static_cast<unsigned>(row - n * rows.value()),
                       static_cast<unsigned>(l - row * columns.value())});
  }
  __device__ auto operator()(int outer, const Pixel& pixel) const {
    using Real = Compute<typename Source::Element>;
    return taps[outer].c < 0 ? Real(0) : part.element<kInside>(source, pixel, taps[outer]);
  }
};

template <typename Real>
struct ChannelsOfPixels {  // outer: output channels of the group, inner: pixels, of dy
  static constexpr Along kAlong = Along::outer;
  const Real* dy;  // the group's first channel
  int first_channel, k, pitch;
  __device__ const Real* inner(std::int64_t l) const { return dy + l * pitch; }
  __device__ Real operator()(int outer, const Real* pixel) const {
    return first_channel + outer < k ? pixel[first_channel + outer] : Real(0);
  }
};

// A block's place in a grid whose x counts pixels, groups and channels, channels fastest, so that
// blocks side by side read the same pixels.
struct BlockPlace {
  std::int64_t pixel;
  int group, channel;
};
template <int kPixels, int kChannels>
__device__ BlockPlace block_place(const Correlation& g) {
  const auto tiles = static_cast<unsigned>((g.k + kChannels - 1) / kChannels);
  const unsigned rest = blockIdx.x / tiles;
  const unsigned pixel = rest / static_cast<unsigned>(g.groups);
  return {static_cast<std::int64_t>(pixel) * kPixels,
          static_cast<int>(rest - pixel * static_cast<unsigned>(g.groups)),
          static_cast<int>(blockIdx.x - rest * tiles) * kChannels};
}

// One block: kRows pixels of one phase, kColumns output channels of one group.
template <typename Source, int kRows, int kColumns, bool kInside>
__global__ void __launch_bounds__(ProductTile<typename Source::Element, kRows, kColumns>::kThreads)
    product_kernel(const Correlation g, const Source source,
                   const typename Source::Element* windows,
                   const Result<typename Source::Element> result) {
  using Real = typename Source::Element;
  using Tile = ProductTile<Real, kRows, kColumns>;
  __shared__ typename Tile::Shared shared;
  __shared__ Pixel pixels[kRows];
  __shared__ std::int64_t outputs[kRows];
  const BlockPlace at = block_place<kRows, kColumns>(g);
  const Part part(g, static_cast<int>(blockIdx.y), static_cast<int>(blockIdx.z), at.group);
  if (at.pixel >= part.pixels) return;  // phases differ in size
  for (int i = static_cast<int>(threadIdx.x); i < kRows; i += Tile::kThreads) {
    // Beyond the end: the last pixel, whose elements exist; its sums are not written.
    const bool exists = at.pixel + i < part.pixels;
    const auto place = part.place(exists ? at.pixel + i : part.pixels - 1);
    pixels[i] = exists || kInside ? part.pixel(place) : no_pixel();
    outputs[i] = part.output(g, place);
  }
  __syncthreads();

  Tile tile;
  tile.accumulate(shared, TapsOfPixels<Source, kInside>{part, source, pixels},
                  TapsOfWindows<Real>{g, part, windows + at.group * g.window_group, at.channel}, 0,
                  part.taps);
  tile.for_each_row([&](int i, int j, const Real* sums) {
    if (at.pixel + i >= part.pixels) return;
    const int first = at.channel + j;
    for (int offset = 0; offset < kOuter && first + offset < g.k; ++offset) {
      result.put(outputs[i] + first + offset, at.group * g.k + first + offset, sums[offset]);
    }
  });
}

// One block: kRows output channels of a group, kColumns taps, and one split of the pixels.
template <typename Source, int kRows, int kColumns, bool kInside>
__global__ void __launch_bounds__(ProductTile<typename Source::Element, kRows, kColumns>::kThreads)
    product_weight_kernel(const Correlation g, const Source source,
                          const typename Source::Element* dy, typename Source::Element* partial,
                          const Divisor rows, const Divisor columns, std::int64_t per_split) {
  using Real = typename Source::Element;
  using Tile = ProductTile<Real, kRows, kColumns>;
  __shared__ typename Tile::Shared shared;
  __shared__ Tap taps[kColumns];
  const auto tiles = static_cast<unsigned>((g.k + kRows - 1) / kRows);
  const int group = static_cast<int>(blockIdx.x / tiles);
  const int first_channel = static_cast<int>(blockIdx.x % tiles) * kRows;
  const int first_tap = static_cast<int>(blockIdx.y) * kColumns;
  const Part part(g, 0, 0, group);
  for (int i = static_cast<int>(threadIdx.x); i < kColumns; i += Tile::kThreads) {
    taps[i] =
        first_tap + i < part.taps ? part.tap(part.tap_place(first_tap + i)) : Tap{0, 0, 0, -1};
  }
  __syncthreads();

  const std::int64_t begin = blockIdx.z * per_split;
  Tile tile;
  tile.accumulate(shared,
                  ChannelsOfPixels<Real>{dy + static_cast<std::int64_t>(group) * g.k, first_channel,
                                         g.k, g.k * g.groups},
                  PixelsOfTaps<Source, kInside>{part, source, taps, rows, columns}, begin,
                  begin + per_split < part.pixels ? begin + per_split : part.pixels);
  const std::int64_t channels = static_cast<std::int64_t>(g.k) * g.groups;
  Real* const to =
      partial + (blockIdx.z * channels + static_cast<std::int64_t>(group) * g.k) * part.taps;
  tile.for_each_row([&](int i, int j, const Real* sums) {
    if (first_channel + i >= g.k) return;
    Real* const row = to + (first_channel + i) * part.taps;
    for (int offset = 0; offset < kOuter; ++offset) {
      const std::int64_t tap = first_tap + j + offset;
      if (tap < part.taps) row[tap] = sums[offset];
    }
  });
}

// Calls f with the source of `images`, after the prologue where there is one, and with kInside.
template <typename Real, typename F>
void with_source(const Tensor& images, const Conv2dPrologue& prologue, bool inside, F&& f) {
  const auto with = [&](const auto& source) {
    inside ? f.template operator()<true>(source) : f.template operator()<false>(source);
  };
  if (prologue.defined()) {
    with(PrologueSource<Real>{images.data<Real>(), prologue.scale.data<Real>(),
                              prologue.shift.data<Real>(), prologue.relu});
  } else {
    with(PlainSource<Real>{images.data<Real>()});
  }
}

template <int kRows, int kColumns, typename Real>
void launch_products(const Correlate& call, const Result<Real>& result) {
  const Correlation& g = call.g;
  with_source<Real>(call.images, call.prologue, g.inside(),
                    [&]<bool kInside, typename Source>(const Source& source) {
                      simt::launch(
                          call.name, product_kernel<Source, kRows, kColumns, kInside>,
                          {.grid = {static_cast<unsigned>(divide_up(g.most_pixels(), kRows) *
                                                          divide_up(g.k, kColumns) * g.groups),
                                    static_cast<unsigned>(g.rows.phases()),
                                    static_cast<unsigned>(g.columns.phases())},
                           .block = {ProductTile<Real, kRows, kColumns>::kThreads},
                           .stream = call.result.stream()},
                          g, source, call.windows.data<Real>(), result);
                    });
}

template <int kRows, int kColumns, typename Real>
void launch_weight_products(const WeightGradient& call) {
  const Correlation& g = call.g;
  with_source<Real>(
      call.images, call.prologue, g.inside(),
      [&]<bool kInside, typename Source>(const Source& source) {
        simt::launch(
            "conv2d.backward_weight", product_weight_kernel<Source, kRows, kColumns, kInside>,
            {.grid = {static_cast<unsigned>(divide_up(g.k, kRows) * g.groups),
                      static_cast<unsigned>(divide_up(g.most_taps() * g.c, kColumns)),
                      static_cast<unsigned>(call.splits)},
             .block = {ProductTile<Real, kRows, kColumns>::kThreads},
             .stream = call.dy.stream()},
            g, source, call.dy.data<Real>(), call.partial.data<Real>(), Divisor(g.rows.output),
            Divisor(g.columns.output), divide_up(g.most_pixels(), call.splits));
      });
}

// Tiles differ in speed alone: the sums' order, hence their bits, does not depend on them.
constexpr bool kOnGpu = std::is_same_v<simt::Target, Gpu>;
constexpr int kNarrow = 32;
// Blocks enough to fill a GPU with large tiles, which read less for each product.
constexpr std::int64_t kManyBlocks = 256;

}  // namespace

namespace conv2d_kernels {

template <typename Target>
void correlate_by_products(const Correlate& call) {
  for_real("conv2d", call.result.dtype(), [&]<typename Real>() {
    const Result<Real> result{call.bias.defined() ? call.bias.data<Real>() : nullptr,
                              call.result.data<Real>(), call.accumulate, call.relu};
    if (call.g.k <= kNarrow) return launch_products<64, 32>(call, result);
    if constexpr (kOnGpu && sizeof(Real) == 4) {  // f64 sums would not fit the registers
      const std::int64_t blocks = divide_up(call.g.most_pixels(), 128) * call.g.groups *
                                  call.g.rows.phases() * call.g.columns.phases();
      if (call.g.k > 64 && blocks * divide_up(call.g.k, 128) >= kManyBlocks)
        return launch_products<128, 128>(call, result);
      if (blocks * divide_up(call.g.k, 64) >= kManyBlocks)
        return launch_products<128, 64>(call, result);
    }
    launch_products<64, 64>(call, result);
  });
}
template void correlate_by_products<simt::Target>(const Correlate& call);

template <typename Target>
void weight_gradient_by_products(const WeightGradient& call) {
  for_real("conv2d", call.dy.dtype(), [&]<typename Real>() {
    if (call.g.k <= kNarrow) return launch_weight_products<32, 64, Real>(call);
    launch_weight_products<64, 64, Real>(call);
  });
}
template void weight_gradient_by_products<simt::Target>(const WeightGradient& call);

}  // namespace conv2d_kernels
}  // namespace cucina
