// Sums over the rows of a matrix, in a fixed order whatever the machine.
#pragma once

#include <algorithm>
#include <cstdint>
#include <type_traits>

#include "core/dtype.h"
#include "kernels/common/read_ahead.h"
#include "kernels/simt/simt.h"

namespace cucina {
// Every .cu file has its own copy: nvcc and g++ compile the same names to different code.
namespace {

inline constexpr std::int64_t kSummedRows = 512;  // by one block, at least
inline constexpr int kSumThreads = 256;

// Threads of a block that are beside each other in a row; the others share columns with them.
inline int column_sum_width(std::int64_t columns) { return columns > 8 ? 32 : 8; }

// Rows of one block: kSummedRows of wide matrices, four times as many of narrow ones.
inline std::int64_t column_sum_rows(std::int64_t columns) {
  return kSummedRows * 32 / column_sum_width(columns);
}

// Elements of scratch column_sum() wants: none when one pass does.
inline std::int64_t column_sum_scratch(std::int64_t rows, std::int64_t columns) {
  std::int64_t elements = 0;
  const std::int64_t per_block = column_sum_rows(columns);
  while (rows > per_block) {
    rows = (rows + per_block - 1) / per_block;
    elements += rows * columns;
  }
  return elements;
}

// The elements of a matrix, as column_sum_of() reads them.
template <typename T>
struct Elements {
  const T* x;
  std::int64_t columns;
  __device__ __forceinline__ Compute<T> operator()(std::int64_t row, std::int64_t column) const {
    return static_cast<Compute<T>>(x[row * columns + column]);
  }
};

// out[group][column] = the sum of value(row, column) over rows [group * rows_per_group, ...).
// Threads that share a column take every so many-th row each; the first of them then adds their
// sums.
template <typename Value, typename Out>
__global__ void __launch_bounds__(kSumThreads)
    column_sum_kernel(const Value value, std::int64_t rows, std::int64_t columns,
                      std::int64_t rows_per_group, int width, bool accumulate, Out* out) {
  using Sum = Compute<Out>;
  __shared__ Sum partial[kSumThreads];
  const int thread = static_cast<int>(threadIdx.x);
  const int lanes = kSumThreads / width;
  const int lane = thread / width;
  const std::int64_t column = static_cast<std::int64_t>(blockIdx.x) * width + thread % width;
  const std::int64_t begin = static_cast<std::int64_t>(blockIdx.y) * rows_per_group;
  const std::int64_t end = begin + rows_per_group < rows ? begin + rows_per_group : rows;
  Sum sum = 0;
  if (column < columns) {
    read_ahead(
        begin + lane, end, std::int64_t{lanes},
        [&](std::int64_t row) { return value(row, column); },
        [&](std::int64_t, Sum read) { sum += read; });
  }
  partial[thread] = sum;
  __syncthreads();
  if (lane > 0 || column >= columns) return;
  for (int other = 1; other < lanes; ++other) sum += partial[other * width + thread];
  Out& to = out[blockIdx.y * columns + column];
  to = Out(accumulate ? static_cast<Sum>(to) + sum : sum);
}

// out[j] (+)= sum_i value(i, j) over `rows` rows i, for each of `columns` columns j; `scratch`
// holds column_sum_scratch() elements. Without rows the sums are zeros.
template <typename Value, typename Out>
void column_sum_of(const char* name, const Stream& stream, const Value& value, std::int64_t rows,
                   std::int64_t columns, bool accumulate, Out* out, Compute<Out>* scratch) {
  if (columns == 0) return;
  const int width = column_sum_width(columns);
  const std::int64_t per_block = column_sum_rows(columns);
  const std::int64_t groups = std::max<std::int64_t>((rows + per_block - 1) / per_block, 1);
  const auto sum = [&](bool add, auto* to) {
    simt::launch(name, column_sum_kernel<Value, std::remove_pointer_t<decltype(to)>>,
                 {.grid = {static_cast<unsigned>((columns + width - 1) / width),
                           static_cast<unsigned>(groups)},
                  .block = {kSumThreads},
                  .stream = stream},
                 value, rows, columns, per_block, width, add, to);
  };
  if (groups == 1) return sum(accumulate, out);
  sum(false, scratch);
  column_sum_of(name, stream, Elements<Compute<Out>>{scratch, columns}, groups, columns, accumulate,
                out, scratch + groups * columns);
}

// out[j] (+)= sum_i x[i,j] for x (rows, columns).
template <typename T, typename Out>
void column_sum(const char* name, const Stream& stream, const T* x, std::int64_t rows,
                std::int64_t columns, bool accumulate, Out* out, Compute<Out>* scratch) {
  column_sum_of(name, stream, Elements<T>{x, columns}, rows, columns, accumulate, out, scratch);
}

}  // namespace
}  // namespace cucina
