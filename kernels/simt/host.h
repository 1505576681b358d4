// The g++ side of simt: CUDA's qualifiers, indices and barriers, and launches on the host.
#pragma once

#include <math.h>  // NOLINT: as in CUDA, fma, sqrt and co. are global and overloaded

#include <cstddef>
#include <source_location>
#include <tuple>
#include <utility>

#include "core/device.h"
#include "core/stream.h"
#include "kernels/simt/launch.h"
#include "kernels/simt/vector_types.h"

#define __global__ __attribute__((unused))
#define __device__ __attribute__((unused))
#define __host__
#define __constant__
// Every block runs on one OS thread from start to end, so what its threads share is that OS
// thread's.
#define __shared__ static thread_local
#define __forceinline__ inline __attribute__((always_inline))
#define __launch_bounds__(...)
#define __align__(n) __attribute__((aligned(n)))
#define __grid_constant__

namespace cucina::simt {
inline namespace host {

using Target = Host;

namespace cuda {

extern constinit thread_local uint3 threadIdx;
extern constinit thread_local uint3 blockIdx;
extern constinit thread_local dim3 blockDim;
extern constinit thread_local dim3 gridDim;
inline constexpr int warpSize = 32;

}  // namespace cuda

namespace detail {

// What threads of a block add up while they wait at a barrier.
int wait_at_barrier(int predicate, const std::source_location& where);
// In checked programs only (checked.h): notes the barrier, and is it the one to be left out?
bool barrier_removed(const std::source_location& where);
// The number of threads in the running block.
int block_threads();
void fence();
void* dynamic_shared_memory();

// A grid with everything the executor needs to run it; `invoke(closure)` runs one thread.
struct Grid {
  const char* name;
  cuda::dim3 grid, block;
  std::size_t shared_bytes;
  void (*invoke)(const void* closure);
  const void* closure;
};
void run_grid(const Grid& grid);

}  // namespace detail

namespace cuda {

using Where = std::source_location;

// Barriers order shared and global memory among the block's threads. All threads must wait at the
// same line.
inline void __syncthreads(Where where = Where::current()) {
#ifdef CUCINA_SIMT_REMOVABLE_BARRIERS
  if (detail::barrier_removed(where)) return;
#endif
  detail::wait_at_barrier(0, where);
}
inline int __syncthreads_count(int predicate, Where where = Where::current()) {
  return detail::wait_at_barrier(predicate, where);
}
inline int __syncthreads_and(int predicate, Where where = Where::current()) {
  return detail::wait_at_barrier(predicate, where) == detail::block_threads();
}
inline int __syncthreads_or(int predicate, Where where = Where::current()) {
  return detail::wait_at_barrier(predicate, where) != 0;
}

inline void __threadfence_block() { detail::fence(); }
inline void __threadfence() { detail::fence(); }
inline void __threadfence_system() { detail::fence(); }

}  // namespace cuda

struct LaunchConfig {
  cuda::dim3 grid = {};
  cuda::dim3 block = {};
  std::size_t shared_bytes = 0;
  Stream stream = {};
};

template <typename T>
T* dynamic_shared() {
  return static_cast<T*>(detail::dynamic_shared_memory());
}

template <typename... Params, typename... Args>
void launch(const char* name, void (*kernel)(Params...), const LaunchConfig& config,
            Args&&... args) {
  const cuda::dim3& grid = config.grid;
  const cuda::dim3& block = config.block;
  check_launch(name, {grid.x, grid.y, grid.z}, {block.x, block.y, block.z}, config.shared_bytes,
               config.stream, Device::cpu);
  struct Closure {
    void (*kernel)(Params...);
    std::tuple<Params...> args;
  };
  const Closure closure{kernel,
                        std::tuple<Params...>(static_cast<Params>(std::forward<Args>(args))...)};
  const auto invoke = [](const void* erased) {
    const Closure& call = *static_cast<const Closure*>(erased);
    std::apply(call.kernel, call.args);
  };
  detail::run_grid({name, grid, block, config.shared_bytes, invoke, &closure});
}

}  // namespace host
}  // namespace cucina::simt

// CUDA's names are global; this puts ours where kernels look for them.
using namespace cucina::simt::host::cuda;  // NOLINT

#include "kernels/simt/atomics.h"
#include "kernels/simt/intrinsics.h"
#include "kernels/simt/warp.h"
