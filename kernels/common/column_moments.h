// Mean and squared deviations of every column of matrices, in one pass over them.
#pragma once

#include <cstdint>

#include "kernels/common/column_sums.h"

namespace cucina {
// Every .cu file has its own copy: nvcc and g++ compile the same names to different code.
namespace {

// The rows of the part with that number, of parts of `length` rows.
__device__ __forceinline__ std::int64_t rows_of(std::int64_t number, std::int64_t length,
                                                std::int64_t rows) {
  const std::int64_t rest = rows - number * length;
  return rest < 0 ? 0 : rest < length ? rest : length;
}

// Of every sample, slab and column the mean and the sum of squared distances from it. A thread
// counts its values from the first of them: E[x^2] - mean^2 then loses no more than its handful of
// rows can, as what is subtracted is one of them. Parts of m_i values are joined by their distances
// d_i from the first part's mean: mean = mean_0 + sum m_i d_i / m and sum squares_i +
// sum m_i (mean_i - mean)^2 (Chan et al. 1979, for any number of parts). So a mean far larger than
// the deviation costs no digits.
template <typename T, int kWidth>
__global__ void __launch_bounds__(256)
    column_moments_kernel(const T* x, ColumnChunks chunks, ColumnSums<Compute<T>> sums) {
  using Real = Compute<T>;
  __shared__ LanePacks<Real, kWidth> lanes;
  const std::int64_t c = chunks.c;
  const ColumnPart part = column_part<kWidth>(chunks);
  const std::int64_t group = part.sample * chunks.slabs + part.slab;
  Pack<Real, kWidth> mean = {}, squares = {};
  if (part.inside && part.first < part.last) {
    const auto start = load_wide<kWidth>(x + part.first * c + part.column);
    for_rows(
        part, [&](std::int64_t row) { return load_pack<kWidth>(x + row * c + part.column); },
        [&](std::int64_t, const Pack<T, kWidth>& value) {
          for (int j = 0; j < kWidth; ++j) {
            const Real distance = static_cast<Real>(value.at[j]) - start.at[j];
            mean.at[j] += distance;
            squares.at[j] = fma(distance, distance, squares.at[j]);
          }
        });
    const Real share = Real(1) / static_cast<Real>(part.last - part.first);
    for (int j = 0; j < kWidth; ++j) {
      const Real sum = mean.at[j];
      mean.at[j] = fma(sum, share, start.at[j]);
      squares.at[j] = fma(-sum, sum * share, squares.at[j]);
    }
  }
  if (chunks.lanes == 1) {
    if (!part.inside) return;
    store_pack(mean, sums.first(group) + part.column);
    store_pack(squares, sums.second(group) + part.column);
    return;
  }
  lanes.put(mean, squares);
  __syncthreads();
  const std::int64_t slab_rows = rows_of(part.slab, chunks.length * chunks.lanes, chunks.rows);
  for_columns_of_block<kWidth>(chunks, [&](int k, std::int64_t column) {
    const Real start = lanes.first[0][k];
    Real sum = 0, squared = 0;
    for (int lane = 1; lane < chunks.lanes; ++lane) {
      const Real m = static_cast<Real>(rows_of(lane, chunks.length, slab_rows));
      sum = fma(m, lanes.first[lane][k] - start, sum);
    }
    const Real joined = start + sum / static_cast<Real>(slab_rows);
    for (int lane = 0; lane < chunks.lanes; ++lane) {
      const Real m = static_cast<Real>(rows_of(lane, chunks.length, slab_rows));
      const Real distance = lanes.first[lane][k] - joined;
      squared += fma(m * distance, distance, lanes.second[lane][k]);
    }
    sums.first(group)[column] = joined;
    sums.second(group)[column] = squared;
  });
}

// Not finite: NaN, so that one value that is not makes everything beside it NaN.
template <typename Real>
__device__ __forceinline__ Real finite_or_nan(Real x) {
  return x - x == Real(0) ? x : x - x;
}

}  // namespace
}  // namespace cucina
