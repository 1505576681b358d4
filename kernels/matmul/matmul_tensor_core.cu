// matmul's hand-written kernels on tensor cores: bf16, and f32 rounded to tf32.
#include "kernels/common/mma_tile.h"
#include "kernels/common/product_kernel.h"
#include "kernels/matmul/matmul.h"

namespace cucina {
namespace {

using simt::MmaFormat;

template <MmaFormat kFormat>
using SmallTile = MmaTile<kFormat, 64, 64, 32, 32>;
template <MmaFormat kFormat>
using LargeTile = MmaTile<kFormat, 128, 128, 64, 32>;
// Reads least of shared memory per product; in tf32 its fragments would not fit the registers.
using WideTile = MmaTile<MmaFormat::bf16, 128, 256, 64, 64>;
// Half as many barriers, where the inner dimension is long.
using DeepTile = MmaTile<MmaFormat::bf16, 128, 256, 64, 64, 3, 128>;

template <MmaFormat kFormat, bool kChunked>
auto kinds() {
  using T = typename SmallTile<kFormat>::Element;
  using Kind = ProductKind<T, T>;
  const Kind small{"64x64", launch_product<SmallTile<kFormat>, kChunked, T, T>};
  if constexpr (!kChunked) {
    return std::array{small};
  } else {
    const Kind large{"128x128", launch_product<LargeTile<kFormat>, true, T, T>};
    if constexpr (kFormat == MmaFormat::bf16) {
      return std::array{small, large, Kind{"128x256", launch_product<WideTile, true, T, T>},
                        Kind{"128x256x64", launch_product<DeepTile, true, T, T>}};
    } else {
      return std::array{small, large};
    }
  }
}

std::size_t heuristic(const ProductSizes& sizes, std::size_t count) {
  constexpr std::int64_t kEnoughBlocks = 128;
  const std::int64_t large = sizes.batch * divide_up(sizes.m, 128) * divide_up(sizes.n, 128);
  return count > 1 && large >= kEnoughBlocks ? 1 : 0;
}

template <MmaFormat kFormat>
void multiply_in(const Tensor& a, const Tensor& b, const MatmulParams& params,
                 const MatmulEpilogue& epilogue, Write write, const Tensor& c,
                 const Tensor& scratch) {
  using T = typename SmallTile<kFormat>::Element;
  const auto address = [](const Tensor& x) { return x.defined() ? x.data<T>() : nullptr; };
  const auto product = make_product<T, T>(a.data<T>(), b.data<T>(), product_sizes(a, params, c),
                                          {.bias = address(epilogue.bias),
                                           .before = address(epilogue.before),
                                           .c = c.data<T>(),
                                           .activation = params.activation,
                                           .accumulate = write == Write::accumulate},
                                          scratch.defined() ? scratch.data<float>() : nullptr);
  const auto run = [&](const auto& list) {
    launch_tuned<T, T>(kFormat == MmaFormat::bf16 ? "matmul.multiply" : "matmul.multiply_tf32",
                       product, params.transpose_a, params.transpose_b, list,
                       heuristic(product.sizes, list.size()), c);
  };
  if (chunked(product, params.transpose_a, params.transpose_b)) {
    run(kinds<kFormat, true>());
  } else {
    run(kinds<kFormat, false>());
  }
}

}  // namespace

template <typename Target>
void MatmulTensorCores<Target>::multiply(const Tensor& a, const Tensor& b,
                                         const MatmulParams& params, const MatmulEpilogue& epilogue,
                                         Write write, const Tensor& c, const Tensor& scratch) {
  if (a.dtype() == DType::bf16) {
    multiply_in<MmaFormat::bf16>(a, b, params, epilogue, write, c, scratch);
  } else {
    multiply_in<MmaFormat::tf32>(a, b, params, epilogue, write, c, scratch);
  }
}
template struct MatmulTensorCores<simt::Target>;

}  // namespace cucina
