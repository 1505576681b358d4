// ChannelRows: plain loops over an image's channels for what oneDNN leaves to us, in parts whose
// sums have a fixed order.
#pragma once

#include <algorithm>
#include <cstdint>

#include "core/tensor.h"

namespace cucina::onednn {

constexpr std::int64_t kWorthThreads = 1 << 16;  // elements; below, waking threads costs more
constexpr int kTile = 64;                        // lanes whose sums stay in registers

// x as rows of lanes. Where channels are few, `fold` pixels make a row, so that it fills vector
// registers. Chunks of rows, small enough to stay in a cache from one look to the next, are summed
// on their own and then joined in order: the same bits with any number of threads.
struct ChannelRows {
  std::int64_t channels, fold, lanes, count, per_chunk = 0, chunks = 0;

  static ChannelRows of(const Tensor& x) {
    constexpr std::int64_t kChunk = 1 << 13;  // elements, 32 KiB of f32
    constexpr std::int64_t kMostChunks = 512;
    const std::int64_t c = x.size(-1), pixels = x.elements() / c;
    std::int64_t fold = 1;
    while (fold * 2 * c <= kTile && pixels % (fold * 2) == 0) fold *= 2;
    ChannelRows rows{.channels = c, .fold = fold, .lanes = fold * c, .count = pixels / fold};
    rows.per_chunk = std::max<std::int64_t>(kChunk / rows.lanes, 1);
    rows.per_chunk = std::max(rows.per_chunk, (rows.count + kMostChunks - 1) / kMostChunks);
    rows.chunks = (rows.count + rows.per_chunk - 1) / rows.per_chunk;
    return rows;
  }

  std::int64_t pixels() const { return count * fold; }
  std::int64_t begin(std::int64_t chunk) const { return chunk * per_chunk; }
  std::int64_t end(std::int64_t chunk) const { return std::min(begin(chunk) + per_chunk, count); }

  // Calls tile.operator()<width>(chunk, first lane, lanes) for all of them, with width 0 where
  // there are fewer than kTile.
  template <typename Tile>
  void for_tiles(const Tile& tile) const {
#pragma omp parallel for schedule(static) if (count * lanes > kWorthThreads)
    for (std::int64_t chunk = 0; chunk < chunks; ++chunk) {
      std::int64_t lane = 0;
      for (; lane + kTile <= lanes; lane += kTile)
        tile.template operator()<kTile>(chunk, lane, kTile);
      if (lane < lanes) tile.template operator()<0>(chunk, lane, lanes - lane);
    }
  }
};

template <typename F>
void for_its_type(DType dtype, F&& f) {
  dtype == DType::bf16 ? f.template operator()<bfloat16>() : f.template operator()<float>();
}

// to[c] (+)= the sum of x's channel c.
void channel_sums(const Tensor& x, Write write, const Tensor& to);

}  // namespace cucina::onednn
