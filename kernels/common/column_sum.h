// Sums over the rows of a matrix, in a fixed order whatever the machine.
#pragma once

#include <algorithm>
#include <cstdint>
#include <type_traits>

#include "core/dtype.h"
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
// Threads that share a column take every `lanes`-th row each; the first of them then adds their
// sums.
template <typename Value, typename Out>
__global__ void __launch_bounds__(128)
    column_sum_kernel(const Value value, std::int64_t rows, std::int64_t columns,
                      std::int64_t rows_per_group, int lanes, bool accumulate, Out* out) {
  using Sum = Compute<Out>;
  __shared__ Sum partial[kSumThreads];
  const int thread = static_cast<int>(threadIdx.x);
  const int width = static_cast<int>(kSumThreads) / lanes;
  const int lane = thread / width;
  const std::int64_t column = static_cast<std::int64_t>(blockIdx.x) * width + thread % width;
  const std::int64_t begin = static_cast<std::int64_t>(blockIdx.y) * rows_per_group;
  const std::int64_t end = begin + rows_per_group < rows ? begin + rows_per_group : rows;
  Sum sum = 0;
  if (column < columns) {
    for (std::int64_t row = begin + lane; row < end; row += lanes) sum += value(row, column);
  }
  if (lanes > 1) {
    partial[thread] = sum;
    __syncthreads();
    if (lane == 0) {
      for (int other = 1; other < lanes; ++other) sum += partial[other * width + thread];
    }
  }
  if (lane == 0 && column < columns) {
    Out& to = out[blockIdx.y * columns + column];
    to = Out(accumulate ? static_cast<Sum>(to) + sum : sum);
  }
}

// out[j] (+)= sum_i value(i, j) over `rows` rows i, for each of `columns` columns j; `scratch`
// holds column_sum_scratch() elements. Without rows the sums are zeros.
template <typename Value, typename Out>
void column_sum_of(const char* name, const Stream& stream, const Value& value, std::int64_t rows,
                   std::int64_t columns, bool accumulate, Out* out, Compute<Out>* scratch) {
  if (columns == 0) return;
  const int width = columns > 32 ? 128 : columns > 8 ? 32 : 8;
  const int lanes = static_cast<int>(kSumThreads) / width;
  const auto across = static_cast<unsigned>((columns + width - 1) / width);
  const std::int64_t groups = (rows + kSummedRows - 1) / kSummedRows;
  const auto sum = [&](const auto& values, std::int64_t count, std::int64_t per_group, bool add,
                       auto* to) {
    simt::launch(name,
                 column_sum_kernel<std::remove_cvref_t<decltype(values)>,
                                   std::remove_pointer_t<decltype(to)>>,
                 {.grid = {across, static_cast<unsigned>(std::max<std::int64_t>(
                                       (count + per_group - 1) / per_group, 1))},
                  .block = {kSumThreads},
                  .stream = stream},
                 values, count, columns, per_group, lanes, add, to);
  };
  if (groups > 1) {
    sum(value, rows, kSummedRows, false, scratch);
    sum(Elements<Compute<Out>>{scratch, columns}, groups, groups, accumulate, out);
  } else {
    sum(value, rows, kSummedRows, accumulate, out);
  }
}

// out[j] (+)= sum_i x[i,j] for x (rows, columns).
template <typename T, typename Out>
void column_sum(const char* name, const Stream& stream, const T* x, std::int64_t rows,
                std::int64_t columns, bool accumulate, Out* out, Compute<Out>* scratch) {
  column_sum_of(name, stream, Elements<T>{x, columns}, rows, columns, accumulate, out, scratch);
}

}  // namespace
}  // namespace cucina
