// Updates of whole arenas (flat buffers of parameters) in one launch, with numbers that all
// elements share and that the same launch moves on: a step counted.
#pragma once

#include <cstdint>
#include <initializer_list>

#include "core/tensor.h"
#include "kernels/simt/map.h"

namespace cucina {
// Every .cu file has its own copy: nvcc and g++ compile the same names to different code.
namespace {

inline constexpr unsigned kUpdateThreads = 256;

// Only the first thread of a block reads what end() changes, and by its arrival it has read: the
// last one to arrive may change it. The ticket is back at 0 then.
template <int kWidth, typename Update>
__global__ void __launch_bounds__(kUpdateThreads)
    update_arena_kernel(const Update update, std::int64_t n, unsigned* arrivals) {
  __shared__ decltype(update.begin()) shared;
  if (threadIdx.x == 0) {
    shared = update.begin();
    if (arrivals != nullptr) {
      __threadfence();
      if (atomicInc(arrivals, gridDim.x - 1) == gridDim.x - 1) update.end();
    }
  }
  __syncthreads();
  const auto common = shared;
  const std::int64_t thread = static_cast<std::int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  const std::int64_t threads = static_cast<std::int64_t>(gridDim.x) * blockDim.x;
  const std::int64_t packs = n / kWidth;
  for (std::int64_t pack = thread; pack < packs; pack += threads) {
    update.template apply<kWidth>(pack * kWidth, common);
  }
  for (std::int64_t i = packs * kWidth + thread; i < n; i += threads) {
    update.template apply<1>(i, common);
  }
}

template <typename Update, typename Common>
struct UpdateElement {
  Update update;
  Common common;
  __device__ void operator()(std::int64_t i) const { update.template apply<1>(i, common); }
};

// In one launch: common = update.begin(), once per block; update.apply<width>(i, common) for the
// elements [i, i + width), in any order; and update.end(), once, after the last begin(). A width is
// kWidth or 1. No apply() may read what end() or another apply() writes.
//   arrivals   where blocks count themselves: 0 before and after; null: end() is not called
//   throws     as launch
template <int kWidth, typename Update>
void update_arena(const char* name, const Stream& stream, std::int64_t n, const Update& update,
                  unsigned* arrivals) {
  if (!simt::detail::map_as_threads()) {
    const auto common = update.begin();
    simt::map(name, stream, n, UpdateElement<Update, decltype(update.begin())>{update, common});
    if (arrivals != nullptr) update.end();
    return;
  }
  constexpr std::int64_t kMaxBlocks = 1024;  // some 8 for each multiprocessor of a large GPU
  const std::int64_t packs = n / kWidth > 0 ? n / kWidth : 1;
  const std::int64_t blocks = (packs + kUpdateThreads - 1) / kUpdateThreads;
  simt::launch(name, update_arena_kernel<kWidth, Update>,
               {.grid = {static_cast<unsigned>(blocks < kMaxBlocks ? blocks : kMaxBlocks)},
                .block = {kUpdateThreads},
                .shared_bytes = 0,
                .stream = stream},
               update, n, arrivals);
}

// Calls f.template operator()<kWidth>() with 16 bytes' worth of Ts where the address of every
// tensor suits that, else with 1. Undefined tensors do not count.
template <typename T, typename F>
void for_arena_width(std::initializer_list<Tensor> tensors, F&& f) {
  constexpr int kWidth = 16 / sizeof(T);
  for (const Tensor& tensor : tensors) {
    if (!tensor.defined()) continue;
    const std::uintptr_t bytes = kWidth * size_of(tensor.dtype());
    if (reinterpret_cast<std::uintptr_t>(tensor.raw()) % (bytes < 16 ? bytes : 16) != 0) {
      return f.template operator()<1>();
    }
  }
  f.template operator()<kWidth>();
}

}  // namespace
}  // namespace cucina
