// conv2d's weight gradient as implicit products of matrices on tensor cores: bf16, and f32 rounded
// to tf32.
#include <type_traits>

#include "kernels/common/mma_tile.h"
#include "kernels/conv2d/launch_tiles.h"

namespace cucina {
namespace {

using conv2d_kernels::WeightGradient;
using simt::MmaFormat;

constexpr bool kOnGpu = std::is_same_v<simt::Target, Gpu>;
constexpr int kNarrow = 32;

template <MmaFormat kFormat>
struct Tiles {
  // Tiles differ in speed alone: the sums' order does not depend on them.
  template <bool kInside, bool kWhole, typename Source>
  static void weight(const WeightGradient& call, const Source& source) {
    const auto with = [&]<int kRows, int kColumns, int kWarpRows, int kWarpColumns>() {
      launch_weight<MmaTile<kFormat, kRows, kColumns, kWarpRows, kWarpColumns>, kInside, kWhole>(
          call, source);
    };
    if constexpr (!kOnGpu) {  // few warps of much each: their meetings are what costs time
      if (call.g.k <= kNarrow) return with.template operator()<32, 64, 32, 64>();
      return with.template operator()<64, 64, 64, 64>();
    } else {
      if (call.g.k <= kNarrow) return with.template operator()<32, 64, 32, 32>();
      if constexpr (kWhole) {
        if (call.g.k > 64) return with.template operator()<128, 128, 64, 32>();
      }
      with.template operator()<64, 64, 32, 32>();
    }
  }
};

}  // namespace

namespace conv2d_kernels {

template <typename Target>
void weight_gradient_by_tensor_cores(const WeightGradient& call) {
  if (call.dy.dtype() == DType::bf16) return weight_with<Tiles<MmaFormat::bf16>, bfloat16>(call);
  weight_with<Tiles<MmaFormat::tf32>, float>(call);
}
template void weight_gradient_by_tensor_cores<simt::Target>(const WeightGradient& call);

}  // namespace conv2d_kernels
}  // namespace cucina
