// The nvcc side of simt: launches on a stream, dynamic shared memory.
#pragma once

#include <cuda_runtime.h>

#include <cstddef>
#include <utility>

#include "core/device.h"
#include "core/stream.h"
#include "kernels/simt/launch.h"

namespace cucina::simt {
// Inline and named apart from the host's: the two compilers never define one symbol with two
// bodies.
inline namespace gpu {

using Target = Gpu;

struct LaunchConfig {
  dim3 grid = {};
  dim3 block = {};
  std::size_t shared_bytes = 0;
  Stream stream = {};
};

template <typename T>
__device__ __forceinline__ T* dynamic_shared() {
  extern __shared__ __align__(16) unsigned char simt_dynamic_shared[];
  return reinterpret_cast<T*>(simt_dynamic_shared);
}

inline void check_cuda(const char* name, const char* what, cudaError_t status) {
  if (status == cudaSuccess) return;
  report_refused(name, what, cudaGetErrorString(status), cudaGetErrorName(status),
                 status == cudaErrorMemoryAllocation);
}

template <typename... Params, typename... Args>
void launch(const char* name, void (*kernel)(Params...), const LaunchConfig& config,
            Args&&... args) {
  const dim3& grid = config.grid;
  const dim3& block = config.block;
  check_launch(name, {grid.x, grid.y, grid.z}, {block.x, block.y, block.z}, config.shared_bytes,
               config.stream, Device::cuda);
  constexpr std::size_t kWithoutAsking = 48 * 1024;
  if (config.shared_bytes > kWithoutAsking) {
    check_cuda(name, "asking for dynamic shared memory",
               cudaFuncSetAttribute(reinterpret_cast<const void*>(kernel),
                                    cudaFuncAttributeMaxDynamicSharedMemorySize,
                                    static_cast<int>(config.shared_bytes)));
  }
  kernel<<<grid, block, config.shared_bytes, static_cast<cudaStream_t>(config.stream.native())>>>(
      static_cast<Params>(std::forward<Args>(args))...);
  check_cuda(name, "launch", cudaGetLastError());
}

}  // namespace gpu
}  // namespace cucina::simt
