// Reads that do not wait for one another: on a GPU a thread has several under way before it uses
// the first, as memory answers after hundreds of cycles.
#pragma once

#include <type_traits>

#include "core/device.h"
#include "kernels/simt/simt.h"
#include "kernels/simt/unrolled.h"

namespace cucina {
// Every .cu file has its own copy: nvcc and g++ compile the same names to different code.
namespace {

// use(i, read(i)) for i = first, first + step, ... below `end`, in this order.
template <typename Index, typename Read, typename Use>
__device__ __forceinline__ void read_ahead(Index first, Index end, Index step, Read read, Use use) {
  if constexpr (std::is_same_v<simt::Target, Gpu>) {
    constexpr int kInFlight = 8;
    for (Index begin = first; begin < end; begin += kInFlight * step) {
      decltype(read(first)) values[kInFlight];
      // Beyond the end the first is read again: what comes under a branch is waited for within it.
      simt::unrolled<kInFlight>([&](int j) {
        const Index i = begin + static_cast<Index>(j) * step;
        values[j] = read(i < end ? i : begin);
      });
      simt::unrolled<kInFlight>([&](int j) {
        const Index i = begin + static_cast<Index>(j) * step;
        if (i < end) use(i, values[j]);
      });
    }
  } else {
    for (Index i = first; i < end; i += step) use(i, read(i));
  }
}

// to[i] = read(i) for i in [0, count), by all threads of a one-dimensional block.
template <typename Real, typename Read>
__device__ __forceinline__ void fill_by_block(Real* to, int count, Read read) {
  read_ahead(static_cast<int>(threadIdx.x), count, static_cast<int>(blockDim.x), read,
             [&](int i, Real value) { to[i] = value; });
}

}  // namespace
}  // namespace cucina
