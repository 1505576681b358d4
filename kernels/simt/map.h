// Elementwise work on either target: one functor, called once for every index, or for every pack of
// neighbours in a matrix.
#pragma once

#include <cstdint>

#include "kernels/simt/simt.h"

#ifndef __CUDACC__
#include "kernels/simt/options.h"
#endif

namespace cucina::simt {

#ifdef __CUDACC__
inline namespace gpu {
#else
inline namespace host {
#endif

namespace detail {

#ifndef __CUDACC__
// Do the options of this moment ask for an order of threads, or for checks of them?
bool threads_wanted();
#endif

inline constexpr unsigned kMapThreads = 256;

template <typename Functor>
__global__ void map_kernel(Functor functor, std::int64_t n) {
  const std::int64_t stride = static_cast<std::int64_t>(gridDim.x) * blockDim.x;
  for (std::int64_t i = static_cast<std::int64_t>(blockIdx.x) * blockDim.x + threadIdx.x; i < n;
       i += stride) {
    functor(i);
  }
}

template <typename Functor>
void launch_map(const char* name, const Stream& stream, std::int64_t n, const Functor& functor) {
  constexpr std::int64_t kMaxBlocks =
      1 << 16;  // enough to fill any GPU many times; beyond it threads loop
  const std::int64_t blocks = (n + kMapThreads - 1) / kMapThreads;
  const LaunchConfig config = {
      .grid = {static_cast<unsigned>(blocks < kMaxBlocks ? blocks : kMaxBlocks)},
      .block = {kMapThreads},
      .shared_bytes = 0,
      .stream = stream};
  launch(name, map_kernel<Functor>, config, functor, n);
}

// Threads take packs of kWidth elements, `packs` of them; what remains is taken one by one.
template <int kWidth, typename Functor>
__global__ void __launch_bounds__(kMapThreads)
    map_rows_kernel(const Functor functor, std::int64_t rows, std::int64_t columns,
                    std::int64_t packs) {
  const std::int64_t n = rows * columns;
  const auto row_of = [&](std::int64_t i) {
    if (rows == 1) return std::int64_t{0};
    if (n <= 0xffffffff) {  // a division of 64 bits takes four times as long
      return static_cast<std::int64_t>(static_cast<unsigned>(i) / static_cast<unsigned>(columns));
    }
    return i / columns;
  };
  const std::int64_t stride = static_cast<std::int64_t>(gridDim.x) * blockDim.x;
  const std::int64_t thread = static_cast<std::int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  for (std::int64_t pack = thread; pack < packs; pack += stride) {
    const std::int64_t i = pack * kWidth;
    const std::int64_t row = row_of(i);
    functor.row(row).template at<kWidth>(i, i - row * columns);
  }
  for (std::int64_t i = packs * kWidth + thread; i < n; i += stride) {
    const std::int64_t row = row_of(i);
    functor.row(row).template at<1>(i, i - row * columns);
  }
}

template <int kWidth, typename Functor>
void launch_map_rows(const char* name, const Stream& stream, std::int64_t rows,
                     std::int64_t columns, bool packed, const Functor& functor) {
  constexpr std::int64_t kMaxBlocks = 1 << 16;
  const std::int64_t n = rows * columns;
  const std::int64_t packs = packed ? n / kWidth : 0;
  const std::int64_t threads = packs > 0 ? packs : n;
  const std::int64_t blocks = (threads + kMapThreads - 1) / kMapThreads;
  const LaunchConfig config = {
      .grid = {static_cast<unsigned>(blocks < kMaxBlocks ? blocks : kMaxBlocks)},
      .block = {kMapThreads},
      .shared_bytes = 0,
      .stream = stream};
  launch(name, map_rows_kernel<kWidth, Functor>, config, functor, rows, columns, packs);
}

// False where plain loops do: on the host, unless order or checks are asked for, so that every
// index must be a thread of its own. Sanitizers and the race detector always want that: their
// reports then name the index.
namespace {
#if defined(__CUDACC__) || defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
constexpr bool map_as_threads() { return true; }
#else
inline bool map_as_threads() { return threads_wanted(); }
#endif
}  // namespace

#ifndef __CUDACC__

// Vectorised: the calls are independent of one another, which is what a map promises.
template <typename Functor>
__attribute__((flatten)) void map_range(const Functor& functor, std::int64_t begin,
                                        std::int64_t end) {
#pragma GCC ivdep
  for (std::int64_t i = begin; i < end; ++i) functor(i);
}

template <typename Row>
__attribute__((flatten)) void map_row(const Row row, std::int64_t i, std::int64_t column,
                                      std::int64_t count) {
  std::int64_t k = 0;
  if constexpr (requires { Row::kLoopWidth; }) {
    for (; k + Row::kLoopWidth <= count; k += Row::kLoopWidth) {
      row.template at<Row::kLoopWidth>(i + k, column + k);
    }
  }
#pragma GCC ivdep
  for (; k < count; ++k) row.template at<1>(i + k, column + k);
}

template <typename Functor>
void map_rows_range(const Functor& functor, std::int64_t columns, std::int64_t begin,
                    std::int64_t end) {
  std::int64_t row = begin / columns;
  for (std::int64_t i = begin; i < end; ++row) {
    const std::int64_t last = (row + 1) * columns < end ? (row + 1) * columns : end;
    map_row(functor.row(row), i, i - row * columns, last - i);
    i = last;
  }
}

// Calls range(begin, end) for parts of [0, n), spread over the cores where that is worth it.
template <typename Range>
void for_parts(std::int64_t n, const Range& range) {
  constexpr std::int64_t kWorthThreads =
      1 << 17;  // below it waking the other threads costs more than it saves
  constexpr std::int64_t kChunk = 1 << 12;
  if (n < kWorthThreads) {
    range(0, n);
    return;
  }
  const std::int64_t chunks = (n + kChunk - 1) / kChunk;
#pragma omp parallel for schedule(static)
  for (std::int64_t chunk = 0; chunk < chunks; ++chunk) {
    const std::int64_t end = (chunk + 1) * kChunk;
    range(chunk * kChunk, end < n ? end : n);
  }
}
#endif

}  // namespace detail

// Calls functor(i) once for every i in [0, n), in any order; `functor` is a struct with
// `__device__ void operator()(std::int64_t i) const`, and no call may read what another writes.
//   throws   as launch
template <typename Functor>
void map(const char* name, const Stream& stream, std::int64_t n, const Functor& functor) {
  if (n <= 0) return;
#ifndef __CUDACC__
  if (!detail::map_as_threads()) {
    check_launch(name, {1, 1, 1}, {1, 1, 1}, 0, stream, Device::cpu);
    detail::for_parts(n, [&](std::int64_t begin, std::int64_t end) {
      const Functor own = functor;  // a copy the compiler knows nobody else changes
      detail::map_range(own, begin, end);
    });
    return;
  }
#endif
  detail::launch_map(name, stream, n, functor);
}

// The same for a matrix of `rows` rows of `columns` elements, one behind the other: functor.row(r)
// gives what its row needs, a struct with `template <int width> __device__ void at(std::int64_t i,
// std::int64_t column) const` for the elements [i, i + width), which are columns [column, column +
// width). Each element is handled once, with width kWidth, if `packed`, or 1; by plain loops with
// width 1, or, where there is one row, with the struct's kLoopWidth, a power of two up to 4096. To
// be packed, kWidth must divide `columns`, unless there is one row.
//   throws   as launch
template <int kWidth, typename Functor>
void map_rows(const char* name, const Stream& stream, std::int64_t rows, std::int64_t columns,
              bool packed, const Functor& functor) {
  if (rows <= 0 || columns <= 0) return;
#ifndef __CUDACC__
  if (!detail::map_as_threads()) {
    check_launch(name, {1, 1, 1}, {1, 1, 1}, 0, stream, Device::cpu);
    detail::for_parts(rows * columns, [&](std::int64_t begin, std::int64_t end) {
      const Functor own = functor;
      detail::map_rows_range(own, columns, begin, end);
    });
    return;
  }
#endif
  detail::launch_map_rows<kWidth>(name, stream, rows, columns, packed, functor);
}

}  // inline namespace of the target
}  // namespace cucina::simt
