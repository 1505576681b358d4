// Elementwise updates whose elements share numbers that the same launch moves on: a step counted.
#pragma once

#include <cstdint>

#include "kernels/simt/map.h"

namespace cucina::simt {

#ifdef __CUDACC__
inline namespace gpu {
#else
inline namespace host {
#endif

namespace detail {

inline constexpr unsigned kUpdateThreads = 256;

// Only the first thread of a block reads what end() changes, and by its arrival it has read: the
// last one to arrive may change it. The ticket is back at 0 then.
template <int kWidth, typename Update>
__global__ void __launch_bounds__(kUpdateThreads)
    update_kernel(const Update update, std::int64_t n, unsigned* arrivals) {
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

#ifndef __CUDACC__
template <typename Update, typename Common>
struct UpdateElement {
  Update update;
  Common common;
  void operator()(std::int64_t i) const { update.template apply<1>(i, common); }
};
#endif

}  // namespace detail

// In one launch: common = update.begin(), once per block; update.apply<width>(i, common) for the
// elements [i, i + width), in any order; and update.end(), once, after the last begin(). A width is
// kWidth or 1. No apply() may read what end() or another apply() writes.
//   arrivals   where blocks count themselves: 0 before and after; null: end() is not called
//   throws     as launch
template <int kWidth, typename Update>
void update(const char* name, const Stream& stream, std::int64_t n, const Update& update,
            unsigned* arrivals) {
#ifndef __CUDACC__
  if (!detail::map_as_threads()) {
    const auto common = update.begin();
    map(name, stream, n, detail::UpdateElement<Update, decltype(update.begin())>{update, common});
    if (arrivals != nullptr) update.end();
    return;
  }
#endif
  constexpr std::int64_t kMaxBlocks = 1024;  // some 8 for each multiprocessor of a large GPU
  const std::int64_t packs = n / kWidth > 0 ? n / kWidth : 1;
  const std::int64_t blocks = (packs + detail::kUpdateThreads - 1) / detail::kUpdateThreads;
  launch(name, detail::update_kernel<kWidth, Update>,
         {.grid = {static_cast<unsigned>(blocks < kMaxBlocks ? blocks : kMaxBlocks)},
          .block = {detail::kUpdateThreads},
          .shared_bytes = 0,
          .stream = stream},
         update, n, arrivals);
}

}  // inline namespace of the target
}  // namespace cucina::simt
