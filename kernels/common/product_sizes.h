// The sizes of a batch of matrix products, and over how many blocks the inner dimension is split.
#pragma once

#include <algorithm>
#include <cstdint>
#include <string>
#include <string_view>

#include "core/dtype.h"

namespace cucina {

// c (batch, m, n), summed over k.
struct ProductSizes {
  std::int64_t batch, m, n, k;

  double flops() const {
    return 2.0 * static_cast<double>(batch) * static_cast<double>(m) * static_cast<double>(n) *
           static_cast<double>(k);
  }
};

constexpr std::int64_t divide_up(std::int64_t a, std::int64_t b) { return (a + b - 1) / b; }

// How many blocks share the inner dimension of one tile: several when the tiles alone are too few
// for a GPU. It depends on sizes only, and not on the tile, so the order of summation does too.
constexpr std::int64_t product_splits(const ProductSizes& sizes) {
  constexpr std::int64_t kTile = 64, kEnoughBlocks = 128;
  constexpr std::int64_t kWorthBlock = 64;  // inner indices; fewer do not pay for a second pass
  const std::int64_t tiles = sizes.batch * divide_up(sizes.m, kTile) * divide_up(sizes.n, kTile);
  if (tiles == 0) return 1;
  return std::max<std::int64_t>(1, std::min(kEnoughBlocks / tiles, sizes.k / kWorthBlock));
}

// Inner indices of each split, a multiple of every tile's depth; the last may have fewer, or none.
constexpr std::int64_t product_k_per_split(const ProductSizes& sizes) {
  constexpr std::int64_t kDepths = 32;
  return divide_up(divide_up(sizes.k, product_splits(sizes)), kDepths) * kDepths;
}

// Sums in scratch memory.
constexpr std::int64_t product_scratch(const ProductSizes& sizes) {
  const std::int64_t splits = product_splits(sizes);
  return splits > 1 ? splits * sizes.batch * sizes.m * sizes.n : 0;
}

// What tuning.h is asked: which kernel for a product of factors that lie like this?
std::string product_question(std::string_view name, DType dtype, bool transpose_a, bool transpose_b,
                             bool aligned, const ProductSizes& sizes);

}  // namespace cucina
