// matmul's hand-written kernels: tiles in shared memory, sums in registers, long inner dimensions
// split over blocks.
#include "kernels/common/column_sum.h"
#include "kernels/common/product_tile.h"
#include "kernels/matmul/matmul.h"

namespace cucina {
namespace {

// Rows [first, size) of a factor whose inner dimension is its contiguous one: a as (m, k), b as
// (n, k).
template <typename Real>
struct InnerContiguous {
  static constexpr Along kAlong = Along::inner;
  const Real* data;
  std::int64_t inner_size;
  std::int64_t first, size;
  __device__ std::int64_t inner(std::int64_t l) const { return l; }
  __device__ Real operator()(int outer, std::int64_t l) const {
    return first + outer < size ? data[(first + outer) * inner_size + l] : Real(0);
  }
};

// The same where the outer dimension is contiguous: a as (k, m), b as (k, n).
template <typename Real>
struct OuterContiguous {
  static constexpr Along kAlong = Along::outer;
  const Real* data;
  std::int64_t first, size;
  __device__ std::int64_t inner(std::int64_t l) const { return l; }
  __device__ Real operator()(int outer, std::int64_t l) const {
    return first + outer < size ? data[l * size + first + outer] : Real(0);
  }
};

template <bool kContiguous, typename Real>
__device__ auto loader(const Real* data, std::int64_t inner_size, std::int64_t first,
                       std::int64_t size) {
  if constexpr (kContiguous) {
    return InnerContiguous<Real>{data, inner_size, first, size};
  } else {
    return OuterContiguous<Real>{data, first, size};
  }
}

template <typename Real>
struct Product {
  const Real* a;
  const Real* b;
  const Real* bias;  // null where there is none
  Real* c;           // (m, n), or (splits, m, n) when the inner dimension is split
  std::int64_t m, n, k;
  std::int64_t k_per_split;
  bool accumulate;
};

// One tile of c, summed over one split of the inner dimension.
template <typename Real, int kTile, bool kTransposeA, bool kTransposeB>
__global__ void __launch_bounds__(ProductTile<Real, kTile, kTile>::kThreads)
    tiled_kernel(const Product<Real> product) {
  using Tile = ProductTile<Real, kTile, kTile>;
  __shared__ typename Tile::Shared shared;
  const auto [a, b, bias, c, m, n, k, k_per_split, accumulate] = product;
  const std::int64_t row = static_cast<std::int64_t>(blockIdx.x) * kTile;
  const std::int64_t column = static_cast<std::int64_t>(blockIdx.y) * kTile;
  const std::int64_t begin = blockIdx.z * k_per_split;
  const std::int64_t end = begin + k_per_split < k ? begin + k_per_split : k;

  Tile tile;
  tile.accumulate(shared, loader<!kTransposeA>(a, k, row, m), loader<kTransposeB>(b, k, column, n),
                  begin, end);

  const bool adds_bias = bias != nullptr && blockIdx.z == 0;
  Real* const to = c + blockIdx.z * m * n;
  tile.for_each([&](int i, int j, Real sum) {
    if (row + i >= m || column + j >= n) return;
    if (adds_bias) sum += bias[column + j];
    Real& element = to[(row + i) * n + column + j];
    element = accumulate ? element + sum : sum;
  });
}

constexpr std::int64_t kSmallTile = 64;
constexpr std::int64_t kLargeTile = 128;

std::int64_t divide_up(std::int64_t a, std::int64_t b) { return (a + b - 1) / b; }

// How many blocks share the inner dimension of one tile: several when the tiles alone are too few
// for a GPU. It depends on sizes only, so the order of summation does too.
std::int64_t splits(std::int64_t m, std::int64_t n, std::int64_t k) {
  constexpr std::int64_t kEnoughBlocks = 64;
  constexpr std::int64_t kWorthBlock = 256;  // inner indices; fewer do not pay for a second pass
  const std::int64_t tiles = divide_up(m, kSmallTile) * divide_up(n, kSmallTile);
  if (tiles == 0) return 1;
  return std::max<std::int64_t>(1, std::min(kEnoughBlocks / tiles, k / kWorthBlock));
}

std::int64_t split_scratch(std::int64_t m, std::int64_t n, std::int64_t k) {
  const std::int64_t count = splits(m, n, k);
  return count > 1 ? count * m * n : 0;
}

template <typename Real, int kTile>
void launch_tiles(const Product<Real>& product, const MatmulParams& params, std::int64_t count,
                  const Stream& stream) {
  const auto kernel = params.transpose_a
                          ? (params.transpose_b ? tiled_kernel<Real, kTile, true, true>
                                                : tiled_kernel<Real, kTile, true, false>)
                          : (params.transpose_b ? tiled_kernel<Real, kTile, false, true>
                                                : tiled_kernel<Real, kTile, false, false>);
  simt::launch(
      "matmul.multiply", kernel,
      {.grid = {static_cast<unsigned>(divide_up(product.m, kTile)),
                static_cast<unsigned>(divide_up(product.n, kTile)), static_cast<unsigned>(count)},
       .block = {ProductTile<Real, kTile, kTile>::kThreads},
       .stream = stream},
      product);
}

void run_multiply(const Tensor& a, const Tensor& b, const MatmulParams& params, const Tensor& bias,
                  Write write, const Tensor& c, const Tensor& scratch) {
  if (c.elements() == 0) return;
  for_real("matmul", a.dtype(), [&]<typename Real>() {
    const std::int64_t m = c.size(0), n = c.size(1), k = a.size(params.transpose_a ? 0 : 1);
    const std::int64_t count = splits(m, n, k);
    const bool accumulate = write == Write::accumulate;
    const Product<Real> product{.a = a.data<Real>(),
                                .b = b.data<Real>(),
                                .bias = bias.defined() ? bias.data<Real>() : nullptr,
                                .c = count > 1 ? scratch.data<Real>() : c.data<Real>(),
                                .m = m,
                                .n = n,
                                .k = k,
                                .k_per_split = divide_up(k, count),
                                .accumulate = accumulate && count == 1};
    // The large tile reads half as much memory per multiply-add, once there are blocks enough. In
    // f64 its sums would not fit the registers of a GPU.
    if (sizeof(Real) == 4 && divide_up(m, kLargeTile) * divide_up(n, kLargeTile) >= 64) {
      if constexpr (sizeof(Real) == 4) {
        launch_tiles<Real, kLargeTile>(product, params, count, c.stream());
      }
    } else {
      launch_tiles<Real, kSmallTile>(product, params, count, c.stream());
    }
    if (count > 1) {
      column_sum<Real>("matmul.add_splits", c.stream(), product.c, count, m * n, accumulate,
                       c.data<Real>(), nullptr);
    }
  });
}

void run_bias_gradient(const Tensor& dy, Write write, const Tensor& db, const Tensor& scratch) {
  for_real("matmul", dy.dtype(), [&]<typename Real>() {
    column_sum<Real>("matmul.bias_gradient", dy.stream(), dy.data<Real>(), dy.size(0), dy.size(1),
                     write == Write::accumulate, db.data<Real>(),
                     scratch.defined() ? scratch.data<Real>() : nullptr);
  });
}

}  // namespace

template <typename Target>
MatmulOp MatmulOp::hand() {
  return {.dtypes = kReal,
          .multiply = run_multiply,
          .multiply_scratch = split_scratch,
          .bias_gradient = run_bias_gradient,
          .bias_gradient_scratch = column_sum_scratch};
}
template MatmulOp MatmulOp::hand<simt::Target>();

}  // namespace cucina
