// Elementwise work on either target: one functor, called once for every index.
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

// False where plain loops do: on the host, unless order or checks are asked for, so that every
// index must be a thread of its own.
#ifdef __CUDACC__
constexpr bool map_as_threads() { return true; }
#else
bool map_as_threads();

// Vectorised: the calls are independent of one another, which is what a map promises.
template <typename Functor>
__attribute__((flatten)) void map_range(const Functor& functor, std::int64_t begin,
                                        std::int64_t end) {
#pragma GCC ivdep
  for (std::int64_t i = begin; i < end; ++i) functor(i);
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
    constexpr std::int64_t kWorthThreads =
        1 << 18;  // below it waking the other threads costs more than it saves
    constexpr std::int64_t kChunk = 1 << 12;
    if (n < kWorthThreads) {
      detail::map_range(functor, 0, n);
      return;
    }
    const std::int64_t chunks = (n + kChunk - 1) / kChunk;
#pragma omp parallel for schedule(static)
    for (std::int64_t chunk = 0; chunk < chunks; ++chunk) {
      const Functor own = functor;  // a copy the compiler knows nobody else changes
      const std::int64_t end = (chunk + 1) * kChunk;
      detail::map_range(own, chunk * kChunk, end < n ? end : n);
    }
    return;
  }
#endif
  detail::launch_map(name, stream, n, functor);
}

}  // inline namespace of the target
}  // namespace cucina::simt
