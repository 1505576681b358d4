// A convolution as implicit products of matrices: the two kernels for every kind of tile, on tensor
// cores or not.
#pragma once

#include <cstdint>

#include "kernels/common/conv_loaders.h"
#include "kernels/common/image_taps.h"
#include "kernels/common/pack.h"
#include "kernels/simt/simt.h"
#include "kernels/simt/unrolled.h"

namespace cucina {
// Every .cu file has its own copy: nvcc and g++ compile the same names to different code.
namespace {

// Factors on their way in, then sums on their way out.
template <typename Tile>
union TileMemory {
  static constexpr int kPitch = Tile::kTileColumns + 8;  // + 8: fragments spread over the banks
  typename Tile::Shared stages;
  alignas(16) typename Tile::Sum sums[Tile::kTileRows * kPitch];
};

// Calls put(row, column, sums) for every pack of kWidth sums of the tile, neighbours in a row by
// neighbouring threads.
template <typename Tile, int kWidth, typename Put>
__device__ __forceinline__ void for_each_pack(const TileMemory<Tile>& memory, Put put) {
  constexpr int kAcross = Tile::kTileColumns / kWidth;
  simt::rolled(
      static_cast<int>(threadIdx.x), Tile::kTileRows * kAcross, Tile::kThreads, [&](int i) {
        const int row = i / kAcross, column = i % kAcross * kWidth;
        put(row, column, load_pack<kWidth>(memory.sums + row * TileMemory<Tile>::kPitch + column));
      });
}

// What a block of convolve_kernel works on, in a grid whose x counts pixels, groups and channels,
// channels fastest, so that blocks side by side read the same pixels.
template <typename Tile>
struct TilePlace {
  std::int64_t pixel;
  int group, channel;
  __device__ explicit TilePlace(const Correlation& g) {
    const auto tiles = static_cast<unsigned>((g.k + Tile::kTileColumns - 1) / Tile::kTileColumns);
    const unsigned rest = blockIdx.x / tiles, across = rest / static_cast<unsigned>(g.groups);
    pixel = static_cast<std::int64_t>(across) * Tile::kTileRows;
    group = static_cast<int>(rest - across * static_cast<unsigned>(g.groups));
    channel = static_cast<int>(blockIdx.x - rest * tiles) * Tile::kTileColumns;
  }
};

template <typename Tile>
struct ConvolveMemory {
  TileMemory<Tile> tile;
  Pixel pixels[Tile::kTileRows];
  std::int64_t outputs[Tile::kTileRows];  // where their results go
};

// One block: a tile of pixels of one phase (blockIdx.y and z) by output channels of one group.
//   kInside      every tap of every result is inside the image
//   kWhole       16 bytes of channels of images and windows are aligned and of one group
//   kBackward    windows are read across, from output to input channels
//   packed       16 bytes of channels of the result and the bias likewise
template <typename Tile, typename Source, bool kInside, bool kWhole, bool kBackward>
__global__ void __launch_bounds__(Tile::kThreads)
    convolve_kernel(const __grid_constant__ Correlation g, const Source source,
                    const typename Source::Element* windows,
                    const Result<typename Source::Element> result, bool packed) {
  using T = typename Source::Element;
  auto& memory = *simt::dynamic_shared<ConvolveMemory<Tile>>();
  const TilePlace<Tile> at(g);
  const Part part(g, static_cast<int>(blockIdx.y), static_cast<int>(blockIdx.z), at.group);
  if (at.pixel >= part.pixels) return;  // phases differ in size
  for (int i = static_cast<int>(threadIdx.x); i < Tile::kTileRows; i += Tile::kThreads) {
    // Beyond the end: the last pixel, whose elements exist; its sums are not written.
    const bool exists = at.pixel + i < part.pixels;
    const auto place = part.place(exists ? at.pixel + i : part.pixels - 1);
    memory.pixels[i] = exists || kInside ? part.pixel(place) : no_pixel();
    memory.outputs[i] = part.output(g, place);
  }
  __syncthreads();

  const PixelRows<Source, kInside, kWhole> pixels{source.data, source, part, memory.pixels};
  windows += at.group * g.window_group;
  Tile tile(part.pixels - at.pixel, g.k - at.channel);
  if constexpr (kBackward) {
    const WindowsByChannel<T, kWhole> weights{windows, g, part, at.channel};
    tile.accumulate(memory.tile.stages, pixels, weights, 0, part.taps);
  } else {
    const WindowsByTap<T, kWhole> weights{windows, at.channel, g.k, g.window_out};
    tile.accumulate(memory.tile.stages, pixels, weights, 0, part.taps);
  }
  __syncthreads();  // the sums come to lie where the factors were
  tile.template store<TileMemory<Tile>::kPitch>(memory.tile.sums);
  __syncthreads();
  const auto put = [&](int row, int column, const auto& sums) {
    if (at.pixel + row >= part.pixels || at.channel + column >= g.k) return;
    const int k = at.channel + column;
    result.put_pack(memory.outputs[row] + k, at.group * g.k + k, sums);
  };
  constexpr int kWidth = 16 / static_cast<int>(sizeof(T));
  if (packed) {
    for_each_pack<Tile, kWidth>(memory.tile, put);
  } else {
    for_each_pack<Tile, 1>(memory.tile, put);
  }
}

template <typename Tile>
struct WeightMemory {
  TileMemory<Tile> tile;
  Tap taps[Tile::kTileColumns];
};

// One block: a tile of output channels of a group by taps, summed over one split of the pixels.
// partial (splits, output channels, taps).
template <typename Tile, typename Source, bool kInside, bool kWhole>
__global__ void __launch_bounds__(Tile::kThreads)
    weight_kernel(const __grid_constant__ Correlation g, const Source source,
                  const typename Source::Element* dy, typename Tile::Sum* partial,
                  const Divisor rows, const Divisor columns, std::int64_t per_split) {
  using T = typename Source::Element;
  auto& memory = *simt::dynamic_shared<WeightMemory<Tile>>();
  const auto tiles = static_cast<unsigned>((g.k + Tile::kTileRows - 1) / Tile::kTileRows);
  const int group = static_cast<int>(blockIdx.x / tiles);
  const int first_channel = static_cast<int>(blockIdx.x % tiles) * Tile::kTileRows;
  const int first_tap = static_cast<int>(blockIdx.y) * Tile::kTileColumns;
  const Part part(g, 0, 0, group);
  for (int i = static_cast<int>(threadIdx.x); i < Tile::kTileColumns; i += Tile::kThreads) {
    memory.taps[i] =
        first_tap + i < part.taps ? part.tap(part.tap_place(first_tap + i)) : Tap{0, 0, 0, -1};
  }
  __syncthreads();

  const std::int64_t channels = static_cast<std::int64_t>(g.k) * g.groups;
  const std::int64_t own_channel = static_cast<std::int64_t>(group) * g.k;
  const std::int64_t begin = blockIdx.z * per_split;
  const GradientRows<T, kWhole> gradients{dy + own_channel, first_channel, g.k, channels};
  const TapColumns<Source, kInside, kWhole> taps{source.data, source, part,
                                                 memory.taps, rows,   columns};
  Tile tile(g.k - first_channel, part.taps - first_tap);
  tile.accumulate(memory.tile.stages, gradients, taps, begin,
                  begin + per_split < part.pixels ? begin + per_split : part.pixels);
  __syncthreads();  // the sums come to lie where the factors were
  tile.template store<TileMemory<Tile>::kPitch>(memory.tile.sums);
  __syncthreads();
  partial += (blockIdx.z * channels + own_channel) * part.taps;
  const auto put = [&](int row, int column, const auto& sums) {
    if (first_channel + row >= g.k || first_tap + column >= part.taps) return;
    store_pack(sums, partial + (first_channel + row) * part.taps + first_tap + column);
  };
  if constexpr (kWhole) {  // as many taps as channels, times a number
    for_each_pack<Tile, 16 / static_cast<int>(sizeof(typename Tile::Sum))>(memory.tile, put);
  } else {
    for_each_pack<Tile, 1>(memory.tile, put);
  }
}

}  // namespace
}  // namespace cucina
