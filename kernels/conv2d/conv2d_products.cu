// conv2d as implicit products of matrices, pixels by taps, in full precision: f32 and f64.
#include <type_traits>

#include "kernels/common/conv_tile.h"
#include "kernels/common/fma_tile.h"
#include "kernels/conv2d/launch_tiles.h"

namespace cucina {
namespace {

using conv2d_kernels::Correlate;
using conv2d_kernels::WeightGradient;

// In f64 sums of a larger tile, or a deeper step, would not fit the registers of a GPU.
template <typename Real>
using SmallTile = FmaTile<Real, 64, 64, 32, 64, sizeof(Real) == 4 ? 16 : 4>;
template <typename Real>
using NarrowTile = FmaTile<Real, 64, 32, 64, 32, sizeof(Real) == 4 ? 16 : 4>;
template <typename Real>
using ShortTile = FmaTile<Real, 32, 64, 32, 64, sizeof(Real) == 4 ? 16 : 4>;
using LargeTile = FmaTile<float, 128, 128, 64, 32, 8>;

constexpr bool kOnGpu = std::is_same_v<simt::Target, Gpu>;
constexpr int kNarrow = 32;
// Blocks enough to fill a GPU with large tiles, which read less for each product.
constexpr std::int64_t kManyBlocks = 256;

template <typename Real>
struct Tiles {
  // Tiles differ in speed alone: the sums' order, hence their bits, does not depend on them.
  template <bool kInside, bool kWhole, bool kBackward, typename Source>
  static void convolve(const Correlate& call, const Source& source) {
    const Correlation& g = call.g;
    if (g.k <= kNarrow)
      return launch_convolve<NarrowTile<Real>, kInside, kWhole, kBackward>(call, source);
    if constexpr (kOnGpu && kWhole && sizeof(Real) == 4) {
      if (g.k > 64 && tiles_of(g, 128, 128) >= kManyBlocks)
        return launch_convolve<LargeTile, kInside, kWhole, kBackward>(call, source);
    }
    launch_convolve<SmallTile<Real>, kInside, kWhole, kBackward>(call, source);
  }

  template <bool kInside, bool kWhole, typename Source>
  static void weight(const WeightGradient& call, const Source& source) {
    if (call.g.k <= kNarrow) return launch_weight<ShortTile<Real>, kInside, kWhole>(call, source);
    if constexpr (kOnGpu && kWhole && sizeof(Real) == 4) {
      if (call.g.k > 64) return launch_weight<LargeTile, kInside, kWhole>(call, source);
    }
    launch_weight<SmallTile<Real>, kInside, kWhole>(call, source);
  }
};

}  // namespace

namespace conv2d_kernels {

template <typename Target>
void correlate_by_products(const Correlate& call) {
  for_real("conv2d", call.result.dtype(),
           [&]<typename Real>() { convolve_with<Tiles<Real>, Real>(call); });
}
template void correlate_by_products<simt::Target>(const Correlate& call);

template <typename Target>
void weight_gradient_by_products(const WeightGradient& call) {
  for_real("conv2d", call.dy.dtype(),
           [&]<typename Real>() { weight_with<Tiles<Real>, Real>(call); });
}
template void weight_gradient_by_products<simt::Target>(const WeightGradient& call);

}  // namespace conv2d_kernels
}  // namespace cucina
