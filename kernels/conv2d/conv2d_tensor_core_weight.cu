// conv2d's weight gradient as implicit products of matrices on tensor cores.
#include "kernels/common/mma_conv_loaders.h"
#include "kernels/common/mma_tile.h"
#include "kernels/conv2d/kernels.h"

namespace cucina {
namespace {

using conv2d_kernels::WeightGradient;
using simt::MmaFormat;

// One block: a tile of output channels of a group by taps, and one split of the pixels.
template <typename Tile, typename Source, bool kInside, bool kWhole>
__global__ void __launch_bounds__(Tile::kThreads)
    mma_weight_kernel(const Correlation g, const Source source, const typename Source::Element* dy,
                      float* partial, const Divisor rows, const Divisor columns,
                      std::int64_t per_split) {
  using Element = typename Source::Element;
  auto& shared = *simt::dynamic_shared<typename Tile::Shared>();
  const auto tiles = static_cast<unsigned>((g.k + Tile::kTileRows - 1) / Tile::kTileRows);
  const int group = static_cast<int>(blockIdx.x / tiles);
  const int first_channel = static_cast<int>(blockIdx.x % tiles) * Tile::kTileRows;
  const int first_tap = static_cast<int>(blockIdx.y) * Tile::kTileColumns;
  const Part part(g, 0, 0, group);
  const std::int64_t channels = static_cast<std::int64_t>(g.k) * g.groups;
  const std::int64_t own_channel = static_cast<std::int64_t>(group) * g.k;
  const std::int64_t begin = blockIdx.z * per_split;

  Tile tile;
  tile.accumulate(
      shared, GradientRows<Element, kWhole>{dy + own_channel, first_channel, g.k, channels},
      TapColumns<Source, kInside, kWhole>{source.data, source, part, first_tap, rows, columns},
      begin, begin + per_split < part.pixels ? begin + per_split : part.pixels);
  float* const to = partial + (blockIdx.z * channels + own_channel) * part.taps;
  tile.for_each_pair([&](int i, int j, float left, float right) {
    if (first_channel + i >= g.k) return;
    const std::int64_t tap = first_tap + j;
    float* const row = to + (first_channel + i) * part.taps;
    if (tap + 1 < part.taps) {
      store_pair(left, right, row + tap);
    } else if (tap < part.taps) {
      row[tap] = left;
    }
  });
}

template <typename Tile, bool kInside, bool kWhole, typename Source>
void launch(const WeightGradient& call, const Source& source) {
  using T = typename Source::Element;
  const Correlation& g = call.g;
  simt::launch("conv2d.backward_weight", mma_weight_kernel<Tile, Source, kInside, kWhole>,
               {.grid = {static_cast<unsigned>(divide_up(g.k, Tile::kTileRows) * g.groups),
                         static_cast<unsigned>(divide_up(g.most_taps() * g.c, Tile::kTileColumns)),
                         static_cast<unsigned>(call.splits)},
                .block = {Tile::kThreads},
                .shared_bytes = Tile::kSharedBytes,
                .stream = call.dy.stream()},
               g, source, call.dy.data<T>(), call.partial.data<float>(), Divisor(g.rows.output),
               Divisor(g.columns.output), divide_up(g.most_pixels(), call.splits));
}

constexpr bool kOnGpu = std::is_same_v<simt::Target, Gpu>;
constexpr int kNarrow = 32;

template <MmaFormat kFormat, bool kInside, bool kWhole, bool kLarge, typename Source>
void launch_tile(const WeightGradient& call, const Source& source) {
  const auto with = [&]<int kRows, int kColumns, int kWarpRows, int kWarpColumns>() {
    launch<MmaTile<kFormat, kRows, kColumns, kWarpRows, kWarpColumns>, kInside, kWhole>(call,
                                                                                        source);
  };
  if constexpr (!kOnGpu) {  // few warps of much each: their meetings are what costs time
    if (call.g.k <= kNarrow) return with.template operator()<32, 64, 32, 64>();
    return with.template operator()<64, 64, 64, 64>();
  } else {
    if (call.g.k <= kNarrow) return with.template operator()<32, 64, 16, 32>();
    if constexpr (kLarge) {
      if (call.g.k > 64) return with.template operator()<128, 128, 64, 32>();
    }
    with.template operator()<64, 64, 32, 32>();
  }
}

bool aligned(const Tensor& tensor) {
  return reinterpret_cast<std::uintptr_t>(tensor.raw()) % 16 == 0;
}

template <MmaFormat kFormat, typename T>
void weight_gradient(const WeightGradient& call) {
  constexpr int kChunk = 16 / static_cast<int>(sizeof(T));
  const Correlation& g = call.g;
  const bool whole =
      g.c % kChunk == 0 && g.k % kChunk == 0 && aligned(call.images) && aligned(call.dy);
  if (call.prologue.defined()) {
    const PrologueSource<T> source{call.images.data<T>(), call.prologue.scale.data<float>(),
                                   call.prologue.shift.data<float>(), call.prologue.relu};
    if (whole) return launch_tile<kFormat, false, true, true>(call, source);
    return launch_tile<kFormat, false, false, false>(call, source);
  }
  const PlainSource<T> plain{call.images.data<T>()};
  if (!whole) return launch_tile<kFormat, false, false, false>(call, plain);
  if (g.inside()) return launch_tile<kFormat, true, true, true>(call, plain);
  launch_tile<kFormat, false, true, true>(call, plain);
}

}  // namespace

namespace conv2d_kernels {

template <typename Target>
void weight_gradient_by_tensor_cores(const WeightGradient& call) {
  if (call.dy.dtype() == DType::bf16) return weight_gradient<MmaFormat::bf16, bfloat16>(call);
  weight_gradient<MmaFormat::tf32, float>(call);
}
template void weight_gradient_by_tensor_cores<simt::Target>(const WeightGradient& call);

}  // namespace conv2d_kernels
}  // namespace cucina
