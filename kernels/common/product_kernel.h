// Products of matrices as launches: one kernel for every kind of tile, the split of the inner
// dimension over blocks, and what is done to the sums on their way out.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "core/tensor.h"
#include "kernels/common/activation.h"
#include "kernels/common/matrix_loader.h"
#include "kernels/common/pack.h"
#include "kernels/common/product_sizes.h"
#include "kernels/common/tuning.h"
#include "kernels/simt/simt.h"
#include "kernels/simt/unrolled.h"

namespace cucina {
// Every .cu file has its own copy: nvcc and g++ compile the same names to different code.
namespace {

// c (+)= activation(sum + bias); `before` gets what the activation is applied to.
template <typename T>
struct Epilogue {
  const T* bias;  // null where there is none
  T* before;      // null: not wanted
  T* c;
  Activation activation;
  bool accumulate;

  // kWidth sums of one row, the first of which belongs at element `at` of c.
  template <int kWidth>
  __device__ __forceinline__ void operator()(Pack<Compute<T>, kWidth> sums, std::int64_t at,
                                             std::int64_t column) const {
    if (bias != nullptr) {
      const auto added = load_wide<kWidth>(bias + column);
      for (int j = 0; j < kWidth; ++j) sums.at[j] += added.at[j];
    }
    if (before != nullptr) store_rounded(sums, before + at);
    activation::dispatch(activation, [&]<Activation kActivation>() {
      for (int j = 0; j < kWidth; ++j) sums.at[j] = activation::value<kActivation>(sums.at[j]);
    });
    store_rounded(sums, c + at, accumulate);
  }
};

// For each matrix of a batch: a (m, k) or as its transpose lies, b (k, n) likewise.
template <typename In, typename Out>
struct Product {
  const In* a;
  const In* b;
  Epilogue<Out> epilogue;
  Compute<Out>* sums;  // (splits, batch, m, n) where the inner dimension is split
  ProductSizes sizes;
  std::int64_t k_per_split;
  unsigned splits;
  unsigned tiles_down, tiles_across;
  bool whole_rows;  // packs of 16 bytes of c's rows are aligned, and the bias's likewise
};

// What a block works on. Tiles that share rows or columns run close to one another in time: eight
// tiles down, then the next column of tiles; so factors are read from the L2 cache more often.
struct BlockPlace {
  unsigned matrix, split, down, across;
};
template <typename In, typename Out>
__device__ BlockPlace block_place(const Product<In, Out>& product) {
  constexpr unsigned kGroup = 8;
  const unsigned tiles = product.tiles_down * product.tiles_across;
  const unsigned tile = blockIdx.x % tiles, rest = blockIdx.x / tiles;
  const unsigned group = tile / (kGroup * product.tiles_across);
  const unsigned within = tile % (kGroup * product.tiles_across);
  const unsigned left = product.tiles_down - group * kGroup;
  const unsigned height = left < kGroup ? left : kGroup;
  return {.matrix = rest / product.splits,
          .split = rest % product.splits,
          .down = group * kGroup + within % height,
          .across = within / height};
}

// Sums leave through shared memory, as many rows at a time as fit without asking for more of it
// than a block has without asking.
template <typename Tile>
union ProductMemory {
  using Sum = typename Tile::Sum;
  static constexpr int kPitch = Tile::kTileColumns + 8;  // + 8: fragments spread over the banks
  static constexpr bool kAllAtOnce = Tile::kTileRows * kPitch * sizeof(Sum) <= 48 * 1024;
  static constexpr int kRows = kAllAtOnce ? Tile::kTileRows : Tile::kWarpRows;
  typename Tile::Shared stages;
  alignas(16) Sum sums[kRows * kPitch];
};

// Hands rows of a tile of sums, from `top` on, to the epilogue, neighbours in a row to neighbouring
// threads.
template <typename Tile, int kWidth, typename In, typename Out>
__device__ __forceinline__ void write_rows(const typename Tile::Sum* sums_of_rows, int top,
                                           const Product<In, Out>& product,
                                           const BlockPlace& place) {
  constexpr int kAcross = Tile::kTileColumns / kWidth;
  constexpr int kPitch = ProductMemory<Tile>::kPitch;
  const std::int64_t m = product.sizes.m, n = product.sizes.n;
  const std::int64_t first_row = static_cast<std::int64_t>(place.down) * Tile::kTileRows + top;
  const std::int64_t first_column = static_cast<std::int64_t>(place.across) * Tile::kTileColumns;
  simt::rolled(static_cast<int>(threadIdx.x), ProductMemory<Tile>::kRows * kAcross, Tile::kThreads,
               [&](int i) {
                 const std::int64_t row = first_row + i / kAcross;
                 const std::int64_t column = first_column + i % kAcross * kWidth;
                 if (row >= m || column >= n) return;
                 const auto sums =
                     load_pack<kWidth>(sums_of_rows + i / kAcross * kPitch + i % kAcross * kWidth);
                 const std::int64_t at = (place.matrix * m + row) * n + column;
                 if (product.splits > 1) {
                   store_pack(sums, product.sums + place.split * product.sizes.batch * m * n + at);
                 } else {
                   product.epilogue(sums, at, column);
                 }
               });
}

// One tile of c, summed over one split of the inner dimension.
template <typename Tile, Along kAlongA, Along kAlongB, bool kChunked, typename In, typename Out>
__global__ void __launch_bounds__(Tile::kThreads, Tile::kBlocks)
    product_kernel(const __grid_constant__ Product<In, Out> product) {
  auto& shared = *simt::dynamic_shared<ProductMemory<Tile>>();
  const BlockPlace place = block_place(product);
  const std::int64_t m = product.sizes.m, n = product.sizes.n, k = product.sizes.k;
  const std::int64_t row = static_cast<std::int64_t>(place.down) * Tile::kTileRows;
  const std::int64_t column = static_cast<std::int64_t>(place.across) * Tile::kTileColumns;
  const std::int64_t begin = place.split * product.k_per_split;
  const std::int64_t end = begin + product.k_per_split < k ? begin + product.k_per_split : k;
  const MatrixLoader<In, kAlongA, kChunked> a{product.a + place.matrix * m * k,
                                              kAlongA == Along::inner ? k : m, row, m};
  const MatrixLoader<In, kAlongB, kChunked> b{product.b + place.matrix * n * k,
                                              kAlongB == Along::inner ? k : n, column, n};
  Tile tile(m - row, n - column);
  tile.accumulate(shared.stages, a, b, begin, end);
  constexpr int kRows = ProductMemory<Tile>::kRows;
  for (int top = 0; top < Tile::kTileRows; top += kRows) {
    __syncthreads();  // the sums come to lie where the factors, or other sums, were
    tile.template store<ProductMemory<Tile>::kPitch>(shared.sums, top, kRows);
    __syncthreads();
    constexpr int kWidth = 16 / static_cast<int>(sizeof(Out));
    if (product.whole_rows) {
      write_rows<Tile, kWidth>(shared.sums, top, product, place);
    } else {
      write_rows<Tile, 1>(shared.sums, top, product, place);
    }
  }
}

// The splits' sums one after another, then the epilogue.
template <int kWidth, typename In, typename Out>
__global__ void __launch_bounds__(256)
    add_splits_kernel(const __grid_constant__ Product<In, Out> product) {
  const std::int64_t total = product.sizes.batch * product.sizes.m * product.sizes.n;
  const std::int64_t at = (static_cast<std::int64_t>(blockIdx.x) * 256 + threadIdx.x) * kWidth;
  if (at >= total) return;
  auto sums = load_pack<kWidth>(product.sums + at);
  for (unsigned split = 1; split < product.splits; ++split) {
    const auto more = load_pack<kWidth>(product.sums + split * total + at);
    for (int j = 0; j < kWidth; ++j) sums.at[j] += more.at[j];
  }
  product.epilogue(sums, at, at % product.sizes.n);
}

template <int kWidth, typename In, typename Out>
void launch_add_splits(const char* name, const Product<In, Out>& product, const Stream& stream) {
  const std::int64_t packs =
      divide_up(product.sizes.batch * product.sizes.m * product.sizes.n, kWidth);
  simt::launch(
      name, add_splits_kernel<kWidth, In, Out>,
      {.grid = {static_cast<unsigned>(divide_up(packs, 256))}, .block = {256}, .stream = stream},
      product);
}

// All of a product with one kind of tile. kChunked: lines of both factors begin at multiples of 16
// bytes and are multiples of 16 bytes long.
template <typename Tile, bool kChunked, typename In, typename Out>
void launch_product(const char* name, Product<In, Out> product, bool transpose_a, bool transpose_b,
                    const Stream& stream) {
  constexpr Along kInner = Along::inner, kOuter = Along::outer;
  product.tiles_down = static_cast<unsigned>(divide_up(product.sizes.m, Tile::kTileRows));
  product.tiles_across = static_cast<unsigned>(divide_up(product.sizes.n, Tile::kTileColumns));
  const auto kernel = transpose_a
                          ? (transpose_b ? product_kernel<Tile, kOuter, kInner, kChunked, In, Out>
                                         : product_kernel<Tile, kOuter, kOuter, kChunked, In, Out>)
                          : (transpose_b ? product_kernel<Tile, kInner, kInner, kChunked, In, Out>
                                         : product_kernel<Tile, kInner, kOuter, kChunked, In, Out>);
  const std::int64_t blocks = product.sizes.batch * product.splits *
                              static_cast<std::int64_t>(product.tiles_down) * product.tiles_across;
  simt::launch(name, kernel,
               {.grid = {static_cast<unsigned>(blocks)},
                .block = {Tile::kThreads},
                .shared_bytes = sizeof(ProductMemory<Tile>),
                .stream = stream},
               product);
  if (product.splits > 1) {
    constexpr int kWidth = 16 / static_cast<int>(sizeof(Out));
    if (product.whole_rows) {
      launch_add_splits<kWidth>(name, product, stream);
    } else {
      launch_add_splits<1>(name, product, stream);
    }
  }
}

inline bool aligned(const void* address) {
  return reinterpret_cast<std::uintptr_t>(address) % 16 == 0;
}

// A product without tiles, which launch_product() knows.
template <typename In, typename Out>
Product<In, Out> make_product(const In* a, const In* b, const ProductSizes& sizes,
                              const Epilogue<Out>& epilogue, Compute<Out>* scratch) {
  constexpr std::int64_t kWidth = 16 / static_cast<std::int64_t>(sizeof(Out));
  return {.a = a,
          .b = b,
          .epilogue = epilogue,
          .sums = scratch,
          .sizes = sizes,
          .k_per_split = product_k_per_split(sizes),
          .splits = static_cast<unsigned>(product_splits(sizes)),
          .tiles_down = 0,
          .tiles_across = 0,
          .whole_rows = sizes.n % kWidth == 0 && aligned(epilogue.c) && aligned(epilogue.bias) &&
                        aligned(epilogue.before)};
}

// launch_product()'s kChunked.
template <typename In, typename Out>
bool chunked(const Product<In, Out>& product, bool transpose_a, bool transpose_b) {
  constexpr std::int64_t kWidth = 16 / static_cast<std::int64_t>(sizeof(In));
  const auto& [batch, m, n, k] = product.sizes;
  return (transpose_a ? m : k) % kWidth == 0 && (transpose_b ? k : n) % kWidth == 0 &&
         aligned(product.a) && aligned(product.b);
}

// A way to launch a product: one kind of tile.
template <typename In, typename Out>
struct ProductKind {
  std::string_view name;  // "128x128"
  void (*launch)(const char* name, Product<In, Out> product, bool transpose_a, bool transpose_b,
                 const Stream& stream);
};

// Launches the product as the tuned one of `kinds`, whose bits are the same. `c` is what the
// epilogue writes to.
template <typename In, typename Out>
void launch_tuned(const char* name, const Product<In, Out>& product, bool transpose_a,
                  bool transpose_b, std::span<const ProductKind<In, Out>> kinds,
                  std::size_t heuristic, const Tensor& c) {
  constexpr std::size_t kMost = 8;
  std::array<std::string_view, kMost> names;
  for (std::size_t i = 0; i < kinds.size(); ++i) names[i] = kinds[i].name;
  const std::string question =
      product_question(name, kDType<In>, transpose_a, transpose_b,
                       chunked(product, transpose_a, transpose_b), product.sizes);
  const Stream stream = c.stream();
  Tensor spare;  // takes the results of runs that are only timed, where c may be added to but once
  const std::size_t chosen = tuned_choice(
      question, std::span(names).first(kinds.size()), heuristic, stream, [&](std::size_t i) {
        Product<In, Out> timed = product;
        if (timed.epilogue.accumulate) {
          if (!spare.defined()) {
            spare = Tensor::empty(c.shape(), c.dtype(), c.device());
          }
          timed.epilogue.c = spare.data<Out>();
          timed.epilogue.accumulate = false;
        }
        kinds[i].launch(name, timed, transpose_a, transpose_b, stream);
      });
  kinds[chosen].launch(name, product, transpose_a, transpose_b, stream);
}

}  // namespace
}  // namespace cucina
