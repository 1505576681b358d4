// Folds on either target: sums, maxima and the like over the middle axis of (outer, length, inner),
// in an order that depends on these sizes alone.
#pragma once

#include <cstdint>

#include "kernels/simt/simt.h"

#ifndef __CUDACC__
#include "kernels/simt/map.h"
#endif

namespace cucina::simt {

#ifdef __CUDACC__
inline namespace gpu {
#else
inline namespace host {
#endif

inline constexpr int kFoldLanes = 1024;  // of a block

// A block folds, for one or several outer indices, a chunk of their length * inner elements. Lanes
// take neighbouring elements, all of them step by step; then the `ways` lanes of each column are
// joined in a tree. Blocks of other chunks leave partial results, for another fold to join.
struct FoldPlan {
  std::int64_t outer, length, inner;
  std::int64_t ways;    // lanes of a column; a power of two, 1 where columns come in tiles
  std::int64_t lanes;   // of an outer index: ways * inner, or of a tile
  std::int64_t tiles;   // blocks side by side that share the columns
  std::int64_t rows;    // outer indices of a block
  std::int64_t stride;  // elements from step to step
  std::int64_t steps;   // of a chunk
  std::int64_t chunks;

  std::int64_t blocks() const { return (outer + rows - 1) / rows * tiles * chunks; }
};

// `joining`: of partial results, so that one chunk has to do.
constexpr FoldPlan fold_plan(std::int64_t outer, std::int64_t length, std::int64_t inner,
                             bool joining = false) {
  constexpr std::int64_t kSteps = 8;          // of a lane, at least, where the length allows
  constexpr std::int64_t kMostBlocks = 1024;  // of 256 threads: as many as an H100 holds at once
  constexpr std::int64_t kJoined = 128;       // chunks that a lane joins, at most
  const auto parts = [](std::int64_t n, std::int64_t part) { return (n + part - 1) / part; };
  const auto least = [](std::int64_t a, std::int64_t b) { return a < b ? a : b; };
  const auto most = [](std::int64_t a, std::int64_t b) { return a < b ? b : a; };
  FoldPlan plan{};
  plan.outer = outer;
  plan.length = length;
  plan.inner = inner;
  const std::int64_t fit = most(kFoldLanes / inner, 1);
  plan.ways = 1;
  // Four lanes at least, so that a pack of one row's elements has a lane each.
  while (plan.ways * 2 <= fit &&
         plan.ways < most(parts(length, kSteps), least(length, inner < 4 ? 4 : 1))) {
    plan.ways *= 2;
  }
  plan.tiles = parts(inner, kFoldLanes);
  plan.lanes = plan.tiles > 1 ? kFoldLanes : plan.ways * inner;
  plan.rows = plan.tiles > 1 ? 1 : kFoldLanes / plan.lanes;
  plan.stride = plan.ways * inner;
  const std::int64_t steps = parts(length, plan.ways);
  const std::int64_t side_by_side = most(parts(outer, plan.rows) * plan.tiles, 1);
  const std::int64_t chunks =
      joining ? 1 : least(least(kMostBlocks / side_by_side, steps / kSteps), kJoined * fit);
  plan.steps = most(parts(steps, most(chunks, 1)), 1);
  plan.chunks = most(parts(steps, plan.steps), 1);
  return plan;
}

namespace detail {

// Which part of the elements a block folds.
struct FoldPart {
  std::int64_t first_outer, chunk, tile;
  std::int64_t columns;            // of the tile
  std::int64_t begin_step, steps;  // how many at most

  static __device__ __forceinline__ FoldPart of_block(const FoldPlan& plan, std::int64_t block) {
    FoldPart part = {};
    const auto at = static_cast<unsigned>(block);
    const auto tiles = static_cast<unsigned>(plan.tiles);
    const auto chunks = static_cast<unsigned>(plan.chunks);
    part.tile = at % tiles;
    part.chunk = at / tiles % chunks;
    part.first_outer = at / tiles / chunks * plan.rows;
    const std::int64_t left = plan.inner - part.tile * kFoldLanes;
    part.columns = left < kFoldLanes ? left : kFoldLanes;
    part.begin_step = part.chunk * plan.steps;
    part.steps = plan.steps;
    return part;
  }

  __device__ __forceinline__ std::int64_t result(const FoldPlan& plan, std::int64_t outer,
                                                 std::int64_t column) const {
    return (outer * plan.chunks + chunk) * plan.inner + tile * kFoldLanes + column;
  }
};

template <int kWidth>
inline constexpr int kFoldSlots = kWidth < 4 ? 4 / kWidth : 1;
template <int kWidth>
inline constexpr int kFoldThreads = kFoldLanes / (kWidth * kFoldSlots<kWidth>);

// A thread's slots are packs of kWidth lanes.
template <int kWidth, typename Fold>
__global__ void __launch_bounds__(kFoldThreads<kWidth>)
    fold_kernel(const Fold fold, const FoldPlan plan) {
  constexpr int kSlots = kFoldSlots<kWidth>, kThreads = kFoldThreads<kWidth>;
  auto& shared = Fold::shared();
  const FoldPart part = FoldPart::of_block(plan, blockIdx.x);
  const std::int64_t elements = plan.length * plan.inner;
  typename Fold::template Lanes<kSlots * kWidth> own;
  for (int slot = 0; slot < kSlots; ++slot) {
    const int first = (slot * kThreads + static_cast<int>(threadIdx.x)) * kWidth;
    // Divisions are of 32 bits: those of 64 are calls, and spill registers.
    const int row = first / static_cast<int>(plan.lanes);
    const int lane = first - row * static_cast<int>(plan.lanes);
    const std::int64_t outer = part.first_outer + row;
    for (int j = 0; j < kWidth; ++j) fold.clear(own, slot * kWidth + j);
    if (row >= plan.rows || outer >= plan.outer) continue;
    if (plan.tiles > 1 && lane >= part.columns) continue;
    const std::int64_t begin = part.begin_step * plan.stride + part.tile * kFoldLanes + lane;
    const std::int64_t past = begin + part.steps * plan.stride;
    const std::int64_t end = past < elements ? past : elements;
    for (std::int64_t offset = begin; offset < end; offset += plan.stride) {
      fold.template add<kWidth>(own, slot * kWidth, outer * elements + offset, offset);
    }
    if (plan.ways == 1) {
      for (int j = 0; j < kWidth; ++j) {
        fold.write(own, slot * kWidth + j, part.result(plan, outer, lane + j));
      }
    }
  }
  if (plan.ways == 1) return;
  for (int slot = 0; slot < kSlots; ++slot) {
    const int first = (slot * kThreads + static_cast<int>(threadIdx.x)) * kWidth;
    for (int j = 0; j < kWidth; ++j) shared.put(first + j, own, slot * kWidth + j);
  }
  __syncthreads();
  const auto lanes = static_cast<int>(plan.lanes), inner = static_cast<int>(plan.inner);
  for (int half = static_cast<int>(plan.ways) / 2; half > 0; half /= 2) {
    for (int at = static_cast<int>(threadIdx.x); at < plan.rows * half * inner; at += kThreads) {
      const int row = at / (half * inner), lane = at - row * half * inner;
      fold.join(shared, row * lanes + lane, row * lanes + lane + half * inner);
    }
    __syncthreads();
  }
  for (int at = static_cast<int>(threadIdx.x); at < plan.rows * inner; at += kThreads) {
    const int row = at / inner, column = at - row * inner;
    const std::int64_t outer = part.first_outer + row;
    if (outer < plan.outer)
      fold.write(shared, row * lanes + column, part.result(plan, outer, column));
  }
}

#ifndef __CUDACC__
// Joins the upper half of 2 kHalf lanes to the lower, and so on: loops of known length.
template <int kHalf, typename Fold, typename Lanes>
__forceinline__ void join_halves(const Fold& fold, Lanes& lanes) {
  for (int lane = 0; lane < kHalf; ++lane) fold.join(lanes, lane, lane + kHalf);
  if constexpr (kHalf > 1) join_halves<kHalf / 2>(fold, lanes);
}

// The same in the same order, lanes being the numbers of a vector register.
template <typename Fold>
__attribute__((flatten)) void fold_block(const Fold fold, const FoldPlan& plan,
                                         std::int64_t block) {
  typename Fold::template Lanes<kFoldLanes> all;
  const FoldPart part = FoldPart::of_block(plan, block);
  const std::int64_t elements = plan.length * plan.inner;
  const auto lanes = static_cast<int>(plan.tiles > 1 ? part.columns : plan.lanes);
  const auto inner = static_cast<int>(plan.tiles > 1 ? part.columns : plan.inner);
  for (std::int64_t row = 0; row < plan.rows && part.first_outer + row < plan.outer; ++row) {
    const std::int64_t outer = part.first_outer + row;
    for (int lane = 0; lane < lanes; ++lane) fold.clear(all, lane);
    for (std::int64_t step = part.begin_step; step < part.begin_step + part.steps; ++step) {
      const std::int64_t offset = step * plan.stride + part.tile * kFoldLanes;
      const std::int64_t left = elements - offset;
      const int count = left < lanes ? static_cast<int>(left) : lanes;
      const std::int64_t i = outer * elements + offset;
#pragma GCC ivdep
      for (int lane = 0; lane < count; ++lane) {
        fold.template add<1>(all, lane, i + lane, offset + lane);
      }
    }
    int half = static_cast<int>(plan.ways) / 2;
    for (; half > 0 && (inner > 1 || half > 8); half /= 2) {
#pragma GCC ivdep
      for (int lane = 0; lane < half * inner; ++lane) fold.join(all, lane, lane + half * inner);
    }
    if (half == 8) {
      join_halves<8>(fold, all);
    } else if (half == 4) {
      join_halves<4>(fold, all);
    } else if (half == 2) {
      join_halves<2>(fold, all);
    } else if (half == 1) {
      join_halves<1>(fold, all);
    }
    for (int column = 0; column < inner; ++column) {
      fold.write(all, column, part.result(plan, outer, column));
    }
  }
}

// The same where rows are short, of kLanes lanes and one column; kRows of them at once, whose lanes
// number `at` are the numbers of a vector register.
template <int kLanes, int kRows, typename Fold>
__attribute__((flatten)) void fold_rows(const Fold fold, const FoldPlan& plan, std::int64_t outer) {
  typename Fold::template Lanes<kLanes * kRows> lanes;
  for (int lane = 0; lane < kLanes * kRows; ++lane) fold.clear(lanes, lane);
  for (std::int64_t offset = 0; offset < plan.length; ++offset) {
    const int first = static_cast<int>(offset % kLanes) * kRows;
    const std::int64_t i = outer * plan.length + offset;
#pragma GCC unroll 1  // unrolled it would not be vectorised
#pragma GCC ivdep
    for (int row = 0; row < kRows; ++row) {
      fold.template add<1>(lanes, first + row, i + row * plan.length, offset);
    }
  }
  for (int half = kLanes / 2 * kRows; half >= kRows; half /= 2) {
#pragma GCC ivdep
    for (int lane = 0; lane < half; ++lane) fold.join(lanes, lane, lane + half);
  }
#pragma GCC ivdep
  for (int row = 0; row < kRows; ++row) fold.write(lanes, row, outer + row);
}

template <int kLanes, typename Fold>
void fold_short_rows(const Fold& fold, const FoldPlan& plan, std::int64_t block) {
  constexpr int kRows = 16;
  const std::int64_t begin = block * plan.rows;
  const std::int64_t end = begin + plan.rows < plan.outer ? begin + plan.rows : plan.outer;
  std::int64_t outer = begin;
  for (; outer + kRows <= end; outer += kRows) fold_rows<kLanes, kRows>(fold, plan, outer);
  for (; outer < end; ++outer) fold_rows<kLanes, 1>(fold, plan, outer);
}

// Longer rows, their lanes kept in registers.
template <int kLanes, typename Fold>
__attribute__((flatten)) void fold_middling_rows(const Fold fold, const FoldPlan& plan,
                                                 std::int64_t block) {
  const std::int64_t begin = block * plan.rows;
  const std::int64_t end = begin + plan.rows < plan.outer ? begin + plan.rows : plan.outer;
  for (std::int64_t outer = begin; outer < end; ++outer) {
    typename Fold::template Lanes<kLanes> lanes;
    for (int lane = 0; lane < kLanes; ++lane) fold.clear(lanes, lane);
    const std::int64_t i = outer * plan.length;
    std::int64_t offset = 0;
    for (; offset + kLanes <= plan.length; offset += kLanes) {
      for (int lane = 0; lane < kLanes; ++lane) {
        fold.template add<1>(lanes, lane, i + offset + lane, offset + lane);
      }
    }
    for (int lane = 0; lane < kLanes; ++lane) {
      if (offset + lane < plan.length) {
        fold.template add<1>(lanes, lane, i + offset + lane, offset + lane);
      }
    }
    join_halves<kLanes / 2>(fold, lanes);
    fold.write(lanes, 0, outer);
  }
}

template <typename Fold>
void fold_by_loops(const Fold& fold, const FoldPlan& plan, std::int64_t block) {
  if (plan.inner == 1 && plan.chunks == 1) {
    if (plan.ways == 4) return fold_short_rows<4>(fold, plan, block);
    if (plan.ways == 8) return fold_middling_rows<8>(fold, plan, block);
    if (plan.ways == 16) return fold_middling_rows<16>(fold, plan, block);
  }
  fold_block(fold, plan, block);
}
#endif

}  // namespace detail

// Folds by the plan. With Lanes<n> the states of n lanes, a struct of arrays with
// put(at, other, other_at) to copy one, the functor `fold` has
//   shared()                       a block's Lanes<kFoldLanes> in shared memory; static, and
//   outside
//                                  of simt, whose own thread-locals are taken for no kernel's
//   clear(lanes, at)               the state of no elements
//   add<width>(lanes, at, i, offset)
//                                  adds elements [i, i + width) to lanes [at, at + width); they are
//                                  the offset-th and following ones of their outer index
//   join(lanes, at, other)         adds lane `other`, whose elements may be anywhere
//   write(lanes, at, result)       delivers result number `result` of (outer, chunks, inner)
// A width is kWidth, by plain loops 1. kWidth divides plan.lanes and length * inner, and inner
// where there are several tiles.
//   throws   as launch
template <int kWidth, typename Fold>
void fold(const char* name, const Stream& stream, const FoldPlan& plan, const Fold& fold) {
  const std::int64_t blocks = plan.blocks();
  if (blocks == 0) return;
#ifndef __CUDACC__
  if (!detail::map_as_threads()) {
    check_launch(name, {1, 1, 1}, {1, 1, 1}, 0, stream, Device::cpu);
    const bool worth_threads = plan.outer * plan.length * plan.inner >= 1 << 17;
#pragma omp parallel for schedule(static) if (worth_threads && blocks > 1)
    for (std::int64_t block = 0; block < blocks; ++block) detail::fold_by_loops(fold, plan, block);
    return;
  }
#endif
  launch(name, detail::fold_kernel<kWidth, Fold>,
         {.grid = {static_cast<unsigned>(blocks)},
          .block = {detail::kFoldThreads<kWidth>},
          .stream = stream},
         fold, plan);
}

}  // inline namespace of the target
}  // namespace cucina::simt
