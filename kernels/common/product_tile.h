// The block's share of a matrix product: tiles of both factors in shared memory, sums in registers.
#pragma once

#include <cstdint>

#include "kernels/common/along.h"
#include "kernels/common/outer_product.h"
#include "kernels/simt/simt.h"

namespace cucina {
// Every .cu file has its own copy: nvcc and g++ compile the same names to different code.
namespace {

// kRows x kColumns elements of c = a b, kDepth of the inner dimension at a time. Each thread keeps
// 8 x 8 of them in registers: 64 multiply-adds for 16 reads of shared memory, and one barrier for
// every 8 kDepth of them in a row, which is what makes it fast under simt.
//
// A factor is read through a loader, which decides what element (outer, inner) of it is (an element
// of a matrix, its transpose, a pixel under a filter's tap; 0 beyond the edges):
//   static constexpr Along kAlong;
//   Inner inner(std::int64_t l) const;                  what is common to all elements at l
//   Real operator()(int outer, const Inner& l) const;   outer counts from the tile's edge
template <typename Real, int kRows, int kColumns, int kDepth = 16>
struct ProductTile {
  static constexpr int kThreadsAcross = kColumns / kOuter;
  static constexpr int kThreads = kThreadsAcross * (kRows / kOuter);
  static_assert(kThreads % kDepth == 0 && kThreads % kRows == 0 && kThreads % kColumns == 0);

  struct Shared {
    // + 4: threads along the inner dimension write to different banks, and rows stay 16-byte
    // aligned
    alignas(16) Real a[kDepth][kRows + 4];
    alignas(16) Real b[kDepth][kColumns + 4];
  };

  int first_row;     // of this thread, within the tile
  int first_column;  // likewise
  OuterProduct<Real> sum;

  __device__ ProductTile()
      : first_row(static_cast<int>(threadIdx.x) / kThreadsAcross * kOuter),
        first_column(static_cast<int>(threadIdx.x) % kThreadsAcross * kOuter) {}

  // sum += a b over inner indices [begin, end), in ascending order.
  template <typename A, typename B>
  __device__ void accumulate(Shared& shared, const A& a, const B& b, std::int64_t begin,
                             std::int64_t end) {
    for (std::int64_t l = begin; l < end; l += kDepth) {
      fill(shared.a, a, l, end);
      fill(shared.b, b, l, end);
      __syncthreads();
      OuterProduct<Real> step = sum;  // in registers, as no barrier comes between
      for (int depth = 0; depth < kDepth; ++depth) {
        const Real* const a_part = shared.a[depth] + first_row;
        step.add([&](int i) { return a_part[i]; }, shared.b[depth] + first_column);
      }
      sum = step;
      __syncthreads();  // the tiles are about to be overwritten
    }
  }

  // Calls body(row, column, sums) for each row of this thread's elements: sums[j] is the element of
  // row `row` and column `column` + j within the tile, for j in [0, 8).
  template <typename Body>
  __device__ void for_each_row(Body body) const {
    sum.for_each_row([&](int i, const Real* sums) { body(first_row + i, first_column, sums); });
  }

 private:
  template <int kPitch, typename Loader>
  static __device__ void fill(Real (&tile)[kDepth][kPitch], const Loader& load, std::int64_t l,
                              std::int64_t end) {
    const int thread = static_cast<int>(threadIdx.x);
    constexpr int kSize = kPitch - 4;
    if constexpr (Loader::kAlong == Along::inner) {
      const int depth = thread % kDepth;
      const bool inside = l + depth < end;
      const auto inner = load.inner(inside ? l + depth : l);
      for (int outer = thread / kDepth; outer < kSize; outer += kThreads / kDepth) {
        tile[depth][outer] = inside ? load(outer, inner) : Real(0);
      }
    } else {
      const int outer = thread % kSize;
      for (int depth = thread / kSize; depth < kDepth; depth += kThreads / kSize) {
        tile[depth][outer] = l + depth < end ? load(outer, load.inner(l + depth)) : Real(0);
      }
    }
  }
};

}  // namespace
}  // namespace cucina
