// Sums down the columns of matrices, two per column at once: of normalisations' statistics and
// gradients. Packs of columns and chunks of rows give every thread its part, the threads of a block
// join theirs in order, and a second kernel joins the blocks.
#pragma once

#include <cstdint>

#include "kernels/common/column_chunks.h"
#include "kernels/common/pack.h"
#include "kernels/common/read_ahead.h"
#include "kernels/simt/simt.h"

namespace cucina {

// Every .cu file has its own copy: nvcc and g++ compile the same names to different code.
namespace {

inline constexpr int kPacksPerBlock = 8;  // side by side
inline constexpr int kJoinedColumns = 8;  // per block of a joining kernel
inline constexpr int kMostLanes = 32;

// What one thread handles: a pack of columns, some rows of one sample.
struct ColumnPart {
  std::int64_t sample, slab, column;
  std::int64_t first, last;  // rows [first, last) of all samples' rows, one behind the other
  bool inside;               // false: there is no such column
};

template <int kWidth>
__device__ __forceinline__ ColumnPart column_part(const ColumnChunks& chunks) {
  const std::int64_t packs = chunks.c / kWidth;
  const std::int64_t across = (packs + kPacksPerBlock - 1) / kPacksPerBlock;
  const std::int64_t group = blockIdx.x / across;  // blocks of a group have the same rows
  const std::int64_t pack =
      (blockIdx.x - group * across) * kPacksPerBlock + static_cast<std::int64_t>(threadIdx.x);
  const std::int64_t sample = group / chunks.slabs;
  const std::int64_t slab = group - sample * chunks.slabs;
  const std::int64_t begin =
      (slab * chunks.lanes + static_cast<std::int64_t>(threadIdx.y)) * chunks.length;
  const std::int64_t end = begin + chunks.length;
  return {.sample = sample,
          .slab = slab,
          .column = pack * kWidth,
          .first = sample * chunks.rows + (begin < chunks.rows ? begin : chunks.rows),
          .last = sample * chunks.rows + (end < chunks.rows ? end : chunks.rows),
          .inside = pack < packs};
}

// Calls use(row, load(row)) for the rows of a part, in order; on the GPU the loads of a few rows,
// as many as registers hold, are under way together.
template <typename Load, typename Use>
__device__ __forceinline__ void for_rows(const ColumnPart& part, const Load& load, const Use& use) {
  using Loaded = decltype(load(part.first));
  constexpr int kFit = static_cast<int>(256 / sizeof(Loaded));
  constexpr int kTogether = !kMovePacksWhole || kFit < 2 ? 1 : kFit < 4 ? 2 : 4;
  std::int64_t row = part.first;
  for (; row + kTogether <= part.last; row += kTogether) {
    Loaded loaded[kTogether];
    for (int j = 0; j < kTogether; ++j) loaded[j] = load(row + j);
    for (int j = 0; j < kTogether; ++j) use(row + j, loaded[j]);
  }
  for (; row < part.last; ++row) use(row, load(row));
}

// Two numbers per column of every group, which is a sample's slab, then two totals per column.
template <typename Real>
struct ColumnSums {
  Real* data;
  std::int64_t c, groups;
  __device__ __forceinline__ Real* first(std::int64_t group) const { return data + group * c; }
  __device__ __forceinline__ Real* second(std::int64_t group) const {
    return data + (groups + group) * c;
  }
  __device__ __forceinline__ Real* first_total() const { return data + 2 * groups * c; }
  __device__ __forceinline__ Real* second_total() const { return first_total() + c; }
};

template <typename Real>
ColumnSums<Real> column_sums_in(const Tensor& scratch, const ColumnChunks& chunks) {
  return {scratch.data<Real>(), chunks.c, chunks.samples * chunks.slabs};
}

// Two packs of every thread of a block.
template <typename Real, int kWidth>
struct LanePacks {
  Real first[kMostLanes][kPacksPerBlock * kWidth];
  Real second[kMostLanes][kPacksPerBlock * kWidth];

  __device__ __forceinline__ void put(const Pack<Real, kWidth>& a, const Pack<Real, kWidth>& b) {
    for (int j = 0; j < kWidth; ++j) {
      first[threadIdx.y][threadIdx.x * kWidth + j] = a.at[j];
      second[threadIdx.y][threadIdx.x * kWidth + j] = b.at[j];
    }
  }
};

// Calls join(k, column) for every column of the block, the k-th there; one thread each.
template <int kWidth, typename Join>
__device__ __forceinline__ void for_columns_of_block(const ColumnChunks& chunks, const Join& join) {
  const std::int64_t packs = chunks.c / kWidth;
  const std::int64_t across = (packs + kPacksPerBlock - 1) / kPacksPerBlock;
  const std::int64_t begin = blockIdx.x % across * kPacksPerBlock * kWidth;
  const auto thread = static_cast<int>(threadIdx.y * blockDim.x + threadIdx.x);
  const auto threads = static_cast<int>(blockDim.x * blockDim.y);
  const int width = static_cast<int>(blockDim.x) * kWidth;
  for (int k = thread; k < width && begin + k < chunks.c; k += threads) join(k, begin + k);
}

// `pairs.sum<kWidth>(part, first, second)` adds up a part's two sums per column.
template <typename Pairs, typename Real, int kWidth>
__global__ void __launch_bounds__(256)
    column_pairs_kernel(Pairs pairs, ColumnChunks chunks, ColumnSums<Real> sums) {
  __shared__ LanePacks<Real, kWidth> lanes;
  const ColumnPart part = column_part<kWidth>(chunks);
  const std::int64_t group = part.sample * chunks.slabs + part.slab;
  Pack<Real, kWidth> first = {}, second = {};
  if (part.inside) pairs.template sum<kWidth>(part, first, second);
  if (chunks.lanes == 1) {
    if (!part.inside) return;
    store_pack(first, sums.first(group) + part.column);
    store_pack(second, sums.second(group) + part.column);
    return;
  }
  lanes.put(first, second);
  __syncthreads();
  for_columns_of_block<kWidth>(chunks, [&](int k, std::int64_t column) {
    Real a = 0, b = 0;
    for (int lane = 0; lane < chunks.lanes; ++lane) {
      a += lanes.first[lane][k];
      b += lanes.second[lane][k];
    }
    sums.first(group)[column] = a;
    sums.second(group)[column] = b;
  });
}

// A joining block's scratch: one number of every thread.
template <typename Real>
struct JoiningLanes {
  Real at[kMostLanes][kJoinedColumns];

  // The sum over the lanes of this thread's column, in order, for every lane. Once per launch.
  __device__ Real sum(Real mine) {
    if (blockDim.y == 1) return mine;
    at[threadIdx.y][threadIdx.x] = mine;
    __syncthreads();
    Real sum = 0;
    for (unsigned lane = 0; lane < blockDim.y; ++lane) sum += at[lane][threadIdx.x];
    return sum;
  }
};

__device__ __forceinline__ std::int64_t joined_column() {
  return static_cast<std::int64_t>(blockIdx.x) * kJoinedColumns + threadIdx.x;
}

// Calls finish(column, first sum, second sum) with the sums over all groups.
template <typename Real, typename Finish>
__global__ void __launch_bounds__(256)
    join_column_pairs_kernel(ColumnSums<Real> sums, Finish finish) {
  __shared__ JoiningLanes<Real> firsts, seconds;
  const std::int64_t column = joined_column();
  const bool inside = column < sums.c;
  Real first = 0, second = 0;
  if (inside) {
    struct Both {
      Real first, second;
    };
    read_ahead(
        std::int64_t{threadIdx.y}, sums.groups, std::int64_t{blockDim.y},
        [&](std::int64_t group) {
          return Both{sums.first(group)[column], sums.second(group)[column]};
        },
        [&](std::int64_t, const Both& both) {
          first += both.first;
          second += both.second;
        });
  }
  first = firsts.sum(first);
  second = seconds.sum(second);
  if (inside && threadIdx.y == 0) finish(column, first, second);
}

// Where a column's two sums go, as the gradients of a shift and a scale; null: nowhere.
template <typename Real>
struct AffineGradients {
  Real* dbeta;   // the first sum
  Real* dgamma;  // the second
  bool add_beta, add_gamma;

  __device__ void operator()(std::int64_t column, Real first, Real second) const {
    if (dbeta != nullptr) dbeta[column] = add_beta ? dbeta[column] + first : first;
    if (dgamma != nullptr) dgamma[column] = add_gamma ? dgamma[column] + second : second;
  }
};

// --- launches ---

// Launches a kernel whose threads have a ColumnPart each, unless there are no samples.
template <int kWidth, typename... Params, typename... Args>
void launch_column_parts(const char* name, void (*kernel)(Params...), const Stream& stream,
                         const ColumnChunks& chunks, const Args&... args) {
  const std::int64_t packs = chunks.c / kWidth;
  const std::int64_t across = (packs + kPacksPerBlock - 1) / kPacksPerBlock;
  const std::int64_t blocks = across * chunks.slabs * chunks.samples;
  if (blocks == 0) return;
  simt::launch(name, kernel,
               {.grid = {static_cast<unsigned>(blocks)},
                .block = {static_cast<unsigned>(packs < kPacksPerBlock ? packs : kPacksPerBlock),
                          static_cast<unsigned>(chunks.lanes)},
                .stream = stream},
               args...);
}

// Launches a kernel that joins the groups of kJoinedColumns columns per block.
template <typename... Params, typename... Args>
void launch_joining(const char* name, void (*kernel)(Params...), const Stream& stream,
                    const ColumnChunks& chunks, const Args&... args) {
  const std::int64_t groups = chunks.samples * chunks.slabs;
  const std::int64_t lanes = groups < 1 ? 1 : groups < kMostLanes ? groups : kMostLanes;
  simt::launch(name, kernel,
               {.grid = {static_cast<unsigned>((chunks.c + kJoinedColumns - 1) / kJoinedColumns)},
                .block = {kJoinedColumns, static_cast<unsigned>(lanes)},
                .stream = stream},
               args...);
}

}  // namespace
}  // namespace cucina
