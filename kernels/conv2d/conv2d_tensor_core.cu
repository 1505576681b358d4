// conv2d's result and its input's gradient as implicit products of matrices on tensor cores.
#include "kernels/common/mma_conv_loaders.h"
#include "kernels/common/mma_tile.h"
#include "kernels/conv2d/kernels.h"

namespace cucina {
namespace {

using conv2d_kernels::Correlate;
using simt::MmaFormat;

// A block's place in a grid whose x counts pixels, groups and channels, channels fastest, so that
// blocks side by side read the same pixels.
template <typename Tile>
struct BlockPlace {
  std::int64_t pixel;
  int group, channel;
  __device__ explicit BlockPlace(const Correlation& g) {
    const auto tiles = static_cast<unsigned>((g.k + Tile::kTileColumns - 1) / Tile::kTileColumns);
    const unsigned rest = blockIdx.x / tiles, across = rest / static_cast<unsigned>(g.groups);
    pixel = static_cast<std::int64_t>(across) * Tile::kTileRows;
    group = static_cast<int>(rest - across * static_cast<unsigned>(g.groups));
    channel = static_cast<int>(blockIdx.x - rest * tiles) * Tile::kTileColumns;
  }
};

// One block: a tile of pixels of one phase by output channels of one group.
template <typename Tile, typename Source, bool kInside, bool kWhole, bool kBackward>
__global__ void __launch_bounds__(Tile::kThreads)
    mma_kernel(const Correlation g, const Source source, const typename Source::Element* windows,
               const Result<typename Source::Element> result) {
  using Element = typename Source::Element;
  auto& shared = *simt::dynamic_shared<typename Tile::Shared>();
  __shared__ std::int64_t outputs[Tile::kTileRows];
  const BlockPlace<Tile> at(g);
  const Part part(g, static_cast<int>(blockIdx.y), static_cast<int>(blockIdx.z), at.group);
  if (at.pixel >= part.pixels) return;  // phases differ in size
  for (int i = static_cast<int>(threadIdx.x); i < Tile::kTileRows; i += Tile::kThreads) {
    const bool exists = at.pixel + i < part.pixels;
    outputs[i] = part.output(g, part.place(exists ? at.pixel + i : part.pixels - 1));
  }
  __syncthreads();

  const PixelRows<Source, kInside, kWhole> pixels{source.data, source, part, at.pixel};
  windows += at.group * g.window_group;
  Tile tile;
  if constexpr (kBackward) {
    tile.accumulate(shared, pixels, WindowsByChannel<Element, kWhole>{windows, g, part, at.channel},
                    0, part.taps);
  } else {
    tile.accumulate(shared, pixels,
                    WindowsByTap<Element, kWhole>{windows, at.channel, g.k, g.window_out}, 0,
                    part.taps);
  }
  tile.for_each_pair([&](int i, int j, float left, float right) {
    if (at.pixel + i >= part.pixels) return;
    const int k = at.channel + j, channel = at.group * g.k + k;
    if (k + 1 < g.k) {
      result.put_pair(outputs[i] + k, channel, left, right);
    } else if (k < g.k) {
      result.put(outputs[i] + k, channel, left);
    }
  });
}

template <typename Tile, bool kInside, bool kWhole, bool kBackward, typename Source>
void launch(const Correlate& call, const Source& source) {
  using T = typename Source::Element;
  const Correlation& g = call.g;
  simt::launch(
      call.name, mma_kernel<Tile, Source, kInside, kWhole, kBackward>,
      {.grid = {static_cast<unsigned>(divide_up(g.most_pixels(), Tile::kTileRows) *
                                      divide_up(g.k, Tile::kTileColumns) * g.groups),
                static_cast<unsigned>(g.rows.phases()), static_cast<unsigned>(g.columns.phases())},
       .block = {Tile::kThreads},
       .shared_bytes = Tile::kSharedBytes,
       .stream = call.result.stream()},
      g, source, call.windows.data<T>(),
      Result<T>{call.bias.defined() ? call.bias.data<T>() : nullptr, call.result.data<T>(),
                call.accumulate, call.relu});
}

constexpr bool kOnGpu = std::is_same_v<simt::Target, Gpu>;
constexpr int kNarrow = 32;
constexpr std::int64_t kManyBlocks = 256;  // enough to fill a GPU with large tiles

// Calls launch with a tile for the shape; tiles differ in speed alone. kLarge: worth a choice.
template <MmaFormat kFormat, bool kInside, bool kWhole, bool kBackward, bool kLarge,
          typename Source>
void launch_tile(const Correlate& call, const Source& source) {
  const Correlation& g = call.g;
  const auto with = [&]<int kRows, int kColumns, int kWarpRows, int kWarpColumns>() {
    launch<MmaTile<kFormat, kRows, kColumns, kWarpRows, kWarpColumns>, kInside, kWhole, kBackward>(
        call, source);
  };
  if constexpr (!kOnGpu) {  // few warps of much each: their meetings are what costs time
    if (g.k <= kNarrow) return with.template operator()<64, 32, 64, 32>();
    return with.template operator()<64, 64, 64, 64>();
  } else {
    if (g.k <= kNarrow) return with.template operator()<64, 32, 32, 16>();
    if constexpr (kLarge) {
      const std::int64_t blocks =
          divide_up(g.most_pixels(), 128) * g.groups * g.rows.phases() * g.columns.phases();
      if (g.k > 64 && blocks * divide_up(g.k, 128) >= kManyBlocks)
        return with.template operator()<128, 128, 64, 32>();
      if (blocks * divide_up(g.k, 64) >= kManyBlocks)
        return with.template operator()<128, 64, 32, 32>();
    }
    with.template operator()<64, 64, 32, 32>();
  }
}

bool aligned(const Tensor& tensor) {
  return reinterpret_cast<std::uintptr_t>(tensor.raw()) % 16 == 0;
}

template <MmaFormat kFormat, typename T>
void correlate(const Correlate& call) {
  constexpr int kChunk = 16 / static_cast<int>(sizeof(T));
  const Correlation& g = call.g;
  const bool backward = g.rows.backward;
  const bool whole = g.c % kChunk == 0 && (!backward || g.k % kChunk == 0) &&
                     aligned(call.images) && aligned(call.windows);
  const PlainSource<T> plain{call.images.data<T>()};
  if (backward) {
    if (!whole) return launch_tile<kFormat, false, false, true, false>(call, plain);
    if (g.inside()) return launch_tile<kFormat, true, true, true, true>(call, plain);
    return launch_tile<kFormat, false, true, true, true>(call, plain);
  }
  if (call.prologue.defined()) {
    const PrologueSource<T> source{call.images.data<T>(), call.prologue.scale.data<float>(),
                                   call.prologue.shift.data<float>(), call.prologue.relu};
    if (whole) return launch_tile<kFormat, false, true, false, true>(call, source);
    return launch_tile<kFormat, false, false, false, false>(call, source);
  }
  if (!whole) return launch_tile<kFormat, false, false, false, false>(call, plain);
  if (g.inside()) return launch_tile<kFormat, true, true, false, true>(call, plain);
  launch_tile<kFormat, false, true, false, true>(call, plain);
}

}  // namespace

namespace conv2d_kernels {

template <typename Target>
void correlate_by_tensor_cores(const Correlate& call) {
  if (call.result.dtype() == DType::bf16) return correlate<MmaFormat::bf16, bfloat16>(call);
  correlate<MmaFormat::tf32, float>(call);
}
template void correlate_by_tensor_cores<simt::Target>(const Correlate& call);

}  // namespace conv2d_kernels
}  // namespace cucina
