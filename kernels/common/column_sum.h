// Sums over the rows of a matrix, in a fixed order whatever the machine.
#pragma once

#include <algorithm>
#include <cstdint>

#include "kernels/simt/simt.h"

namespace cucina {
// Every .cu file has its own copy: nvcc and g++ compile the same names to different code.
namespace {

inline constexpr std::int64_t kSummedRows = 512;  // by one block of the first pass
inline constexpr unsigned kSumThreads = 128;

// Elements of scratch column_sum() wants: none when one pass does.
inline std::int64_t column_sum_scratch(std::int64_t rows, std::int64_t columns) {
  const std::int64_t groups = (rows + kSummedRows - 1) / kSummedRows;
  return groups > 1 ? groups * columns : 0;
}

// out[group][column] = the sum of that column over rows [group * rows_per_group, ...). Threads that
// share a column take every `lanes`-th row each; the first of them then adds their sums.
template <typename Real>
__global__ void __launch_bounds__(128)
    column_sum_kernel(const Real* x, std::int64_t rows, std::int64_t columns,
                      std::int64_t rows_per_group, int lanes, bool accumulate, Real* out) {
  __shared__ Real partial[kSumThreads];
  const int thread = static_cast<int>(threadIdx.x);
  const int width = static_cast<int>(kSumThreads) / lanes;
  const int lane = thread / width;
  const std::int64_t column = static_cast<std::int64_t>(blockIdx.x) * width + thread % width;
  const std::int64_t begin = static_cast<std::int64_t>(blockIdx.y) * rows_per_group;
  const std::int64_t end = begin + rows_per_group < rows ? begin + rows_per_group : rows;
  Real sum = 0;
  if (column < columns) {
    for (std::int64_t row = begin + lane; row < end; row += lanes) sum += x[row * columns + column];
  }
  if (lanes > 1) {
    partial[thread] = sum;
    __syncthreads();
    if (lane == 0) {
      for (int other = 1; other < lanes; ++other) sum += partial[other * width + thread];
    }
  }
  if (lane == 0 && column < columns) {
    Real& to = out[blockIdx.y * columns + column];
    to = accumulate ? to + sum : sum;
  }
}

// out[j] (+)= sum_i x[i,j] for x (rows, columns); `scratch` holds column_sum_scratch() elements.
// Without rows the sums are zeros.
template <typename Real>
void column_sum(const char* name, const Stream& stream, const Real* x, std::int64_t rows,
                std::int64_t columns, bool accumulate, Real* out, Real* scratch) {
  if (columns == 0) return;
  const int width = columns > 32 ? 128 : columns > 8 ? 32 : 8;
  const int lanes = static_cast<int>(kSumThreads) / width;
  const auto across = static_cast<unsigned>((columns + width - 1) / width);
  const std::int64_t groups = (rows + kSummedRows - 1) / kSummedRows;
  if (groups > 1) {
    simt::launch(
        name, column_sum_kernel<Real>,
        {.grid = {across, static_cast<unsigned>(groups)}, .block = {kSumThreads}, .stream = stream},
        x, rows, columns, kSummedRows, lanes, false, scratch);
    x = scratch;
    rows = groups;
  }
  simt::launch(name, column_sum_kernel<Real>,
               {.grid = {across}, .block = {kSumThreads}, .stream = stream}, x, rows, columns, rows,
               lanes, accumulate, out);
}

}  // namespace
}  // namespace cucina
