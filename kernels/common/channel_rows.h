// ChannelRows: plain loops over an image's channels for what oneDNN leaves to us, in parts whose
// sums have a fixed order.
#pragma once

#include <algorithm>
#include <bit>
#include <cstdint>
#include <type_traits>

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
    // Sums of more numbers than that round too much.
    constexpr std::int64_t kMostRows = 256;
    rows.per_chunk = std::clamp<std::int64_t>(kChunk / rows.lanes, 1, kMostRows);
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

// Where a loop over `width` lanes, at most kTile, leaves its numbers: at `to` itself, or where
// these are bf16 in `own`, from which round_lanes() takes them. The compiler makes vector
// instructions of the two loops, but not of one that does both.
template <typename T>
float* lanes_of(T* to, float* own) {
  if constexpr (std::is_same_v<T, float>) {
    return to;
  } else {
    return own;
  }
}

template <typename T>
void round_lanes(const float* own, std::int64_t width, T* to) {
  if constexpr (!std::is_same_v<T, float>) {
    std::uint16_t* bits = &to->bits;
#pragma omp simd
    for (std::int64_t i = 0; i < width; ++i) {  // as bfloat16 does
      const auto u = std::bit_cast<std::uint32_t>(own[i]);
      const std::uint32_t rounded = (u + 0x7fffu + ((u >> 16) & 1u)) >> 16;
      const std::uint32_t quiet = (u >> 16) | 0x40u;
      bits[i] = static_cast<std::uint16_t>((u & 0x7fffffffu) > 0x7f800000u ? quiet : rounded);
    }
  }
}

// to[c] (+)= the sum of x's channel c.
void channel_sums(const Tensor& x, Write write, const Tensor& to);

}  // namespace cucina::onednn
