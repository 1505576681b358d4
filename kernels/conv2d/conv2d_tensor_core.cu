// conv2d's result and its input's gradient as implicit products of matrices on tensor cores: bf16,
// and f32 rounded to tf32.
#include <type_traits>

#include "kernels/common/mma_tile.h"
#include "kernels/conv2d/launch_tiles.h"

namespace cucina {
namespace {

using conv2d_kernels::Correlate;
using simt::MmaFormat;

constexpr bool kOnGpu = std::is_same_v<simt::Target, Gpu>;
constexpr int kNarrow = 32;
// Blocks enough to fill a GPU with large tiles, which read less for each product.
constexpr std::int64_t kManyBlocks = 256;

template <MmaFormat kFormat>
struct Tiles {
  // Tiles differ in speed alone: the sums' order does not depend on them.
  template <bool kInside, bool kWhole, bool kBackward, typename Source>
  static void convolve(const Correlate& call, const Source& source) {
    const Correlation& g = call.g;
    const auto with = [&]<int kRows, int kColumns, int kWarpRows, int kWarpColumns>() {
      launch_convolve<MmaTile<kFormat, kRows, kColumns, kWarpRows, kWarpColumns>, kInside, kWhole,
                      kBackward>(call, source);
    };
    if constexpr (!kOnGpu) {  // few warps of much each: their meetings are what costs time
      if (g.k <= kNarrow) return with.template operator()<64, 32, 64, 32>();
      return with.template operator()<64, 64, 64, 64>();
    } else {
      if (g.k <= kNarrow) return with.template operator()<64, 32, 32, 16>();
      if constexpr (kWhole) {
        if (g.k > 64 && tiles_of(g, 128, 128) >= kManyBlocks)
          return with.template operator()<128, 128, 64, 32>();
        if (tiles_of(g, 128, 64) >= kManyBlocks) return with.template operator()<128, 64, 32, 32>();
      }
      with.template operator()<64, 64, 32, 32>();
    }
  }
};

}  // namespace

namespace conv2d_kernels {

template <typename Target>
void correlate_by_tensor_cores(const Correlate& call) {
  if (call.result.dtype() == DType::bf16)
    return convolve_with<Tiles<MmaFormat::bf16>, bfloat16>(call);
  convolve_with<Tiles<MmaFormat::tf32>, float>(call);
}
template void correlate_by_tensor_cores<simt::Target>(const Correlate& call);

}  // namespace conv2d_kernels
}  // namespace cucina
