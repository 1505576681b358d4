// The block's share of a matrix product in full precision: both factors in shared memory, twice,
// sums in registers, one fused multiply-add per product.
#pragma once

#include <cstdint>
#include <type_traits>

#include "core/device.h"
#include "kernels/common/along.h"
#include "kernels/common/outer_product.h"
#include "kernels/common/pack.h"
#include "kernels/simt/simt.h"
#include "kernels/simt/unrolled.h"

namespace cucina {
// Every .cu file has its own copy: nvcc and g++ compile the same names to different code.
namespace {

// kRows x kColumns elements of c = a b, kDepth of the inner dimension at a time; each warp has
// kWarpRows x kWarpColumns of them, each thread eight by eight. While one step is multiplied the
// next is on its way from global memory to registers; with two buffers in shared memory there is
// one barrier for each step. Factors are read through the loaders that mma_tile.h describes; used
// like the tile there.
//
// Order of summation: inner indices ascending, one after another; it does not depend on the shape
// of the tile. Source: Boehm 2022, "How to Optimize a CUDA Matmul Kernel for cuBLAS-like
// Performance".
template <typename Real, int kRows, int kColumns, int kRowsOfWarp, int kWarpColumns,
          int kDepth = 16>
class FmaTile {
  static constexpr int kLanesAcross = kWarpColumns / kOuter;
  static constexpr int kLanes = kRowsOfWarp / kOuter * kLanesAcross;  // few for the smallest tiles
  static constexpr int kWarpsAcross = kColumns / kWarpColumns;
  static constexpr int kPad = 4;  // rows stay 16-byte aligned; stores down a column spread
  static_assert(kRows % kRowsOfWarp == 0 && kColumns % kWarpColumns == 0 && kLanes <= 32);

 public:
  using Element = Real;
  using Sum = Real;
  static constexpr int kTileRows = kRows, kTileColumns = kColumns, kWarpRows = kRowsOfWarp;
  static constexpr int kThreads = kRows / kWarpRows * kWarpsAcross * kLanes;
  // At least so many blocks share a multiprocessor: while one waits at a barrier, another computes.
  static constexpr int kBlocks = kThreads < 256 ? 1 : 2;

  struct Shared {
    alignas(16) Real a[2][kDepth][kRows + kPad];
    alignas(16) Real b[2][kDepth][kColumns + kPad];
  };

  // Elements beyond `rows` and `columns` are nobody's: threads that have no others do not compute.
  __device__ explicit FmaTile(std::int64_t rows = kRows, std::int64_t columns = kColumns) {
    const int warp = static_cast<int>(threadIdx.x) / kLanes;
    const int lane = static_cast<int>(threadIdx.x) % kLanes;
    row_ = warp / kWarpsAcross * kWarpRows + lane / kLanesAcross * kOuter;
    column_ = warp % kWarpsAcross * kWarpColumns + lane % kLanesAcross * (kOuter - kApart);
    idle_ = row_ >= rows || column_ >= columns;
  }

  // sum += a b over inner indices [begin, end).
  template <typename A, typename B>
  __device__ __forceinline__ void accumulate(Shared& shared, const A& a, const B& b,
                                             std::int64_t begin, std::int64_t end) {
    Filler<kRows, A> fill_a;
    Filler<kColumns, B> fill_b;
    fill_a.fetch(a, begin, end);
    fill_b.fetch(b, begin, end);
    int stage = 0;
    for (std::int64_t l = begin; l < end; l += kDepth) {
      fill_a.store(shared.a[stage]);
      fill_b.store(shared.b[stage]);
      __syncthreads();  // this step's tiles are there, the last one's have been read
      if (l + kDepth < end) {
        fill_a.fetch(a, l + kDepth, end);
        fill_b.fetch(b, l + kDepth, end);
      }
      if (!idle_) multiply(shared.a[stage], shared.b[stage]);
      stage = 1 - stage;
    }
  }

  // Writes the sums of rows [top, top + rows), all or a multiple of kWarpRows of them, to shared
  // memory, element (i, j) to to[(i - top) * kPitch + j].
  template <int kPitch>
  __device__ __forceinline__ void store(Real* to, int top = 0, int rows = kRows) const {
    if (row_ < top || row_ >= top + rows) return;
    sum_.for_each_row([&](int i, const Real* sums) {
      Real* const row = to + (row_ - top + i) * kPitch + column_;
      simt::unrolled<2>([&](int half) {
        Pack<Real, 4> four;
        simt::unrolled<4>([&](int j) { four.at[j] = sums[4 * half + j]; });
        store_pack(four, row + half * (4 + kGap));
      });
    });
  }

 private:
  // On a GPU a thread's eight columns are four and four, half a warp's columns apart, so that
  // neighbours read neighbouring 16 bytes; on the host eight in a row, for its vectors.
  static constexpr bool kHalves = std::is_same_v<simt::Target, Gpu>;
  static constexpr int kApart = kHalves ? 4 : 0;
  static constexpr int kGap = kHalves ? kWarpColumns / 2 - 4 : 0;

  // One thread's part of a step of a factor: every so many packs of kWidth along the factor's
  // lines.
  template <int kSize, typename Loader>
  class Filler {
    static constexpr bool kInner = Loader::kAlong == Along::inner;
    static constexpr int kWidth = Loader::kChunked ? 16 / static_cast<int>(sizeof(Real)) : 1;
    static constexpr int kPacks = (kInner ? kDepth : kSize) / kWidth;  // of a line
    static constexpr int kLines = kInner ? kSize : kDepth;
    static constexpr int kAcross = kThreads < kPacks ? kThreads : kPacks;
    static constexpr int kDown = kThreads / kAcross;
    static constexpr int kAcrossCount = kPacks / kAcross;
    static constexpr int kDownCount = kLines < kDown ? 1 : kLines / kDown;
    static constexpr bool kComputedWhole = requires(const Loader& load) {
      load.chunk(load.outer(0), load.inner(0));
    };
    static constexpr bool kComputed = kComputedWhole || requires(const Loader& load) {
      load.value(load.outer(0), load.inner(0));
    };
    static_assert(kThreads % kAcross == 0 && kPacks % kAcross == 0);
    static_assert(kLines < kDown || kLines % kDown == 0);

   public:
    __device__ __forceinline__ void fetch(const Loader& load, std::int64_t l, std::int64_t end) {
      for_each([&](int i, int line, int along) {
        const std::int64_t inner = l + (kInner ? along : line);
        if constexpr (kComputed) {
          pack_[i] = {};
          if (inner < end) pack_[i] = computed(load, kInner ? line : along, inner);
          return;
        }
        const Real* const from =
            inner < end ? load.at(load.outer(kInner ? line : along), load.inner(inner)) : nullptr;
        if (from != nullptr) {
          pack_[i] = load_pack<kWidth>(from);
        } else {
          simt::unrolled<kWidth>([&](int e) { pack_[i].at[e] = Real(0); });
        }
      });
    }
    __device__ __forceinline__ void store(Real (&tile)[kDepth][kSize + kPad]) const {
      for_each([&](int i, int line, int along) {
        if constexpr (kInner) {
          simt::unrolled<kWidth>([&](int e) { tile[along + e][line] = pack_[i].at[e]; });
        } else {
          store_pack(pack_[i], &tile[line][along]);
        }
      });
    }

   private:
    static __device__ __forceinline__ Pack<Real, kWidth> computed(const Loader& load, int outer,
                                                                  std::int64_t inner) {
      if constexpr (kComputedWhole) {
        return load.chunk(load.outer(outer), load.inner(inner));
      } else {
        return {{load.value(load.outer(outer), load.inner(inner))}};
      }
    }
    template <typename Body>
    static __device__ __forceinline__ void for_each(Body body) {
      const int thread = static_cast<int>(threadIdx.x);
      if (kLines < kDown && thread / kAcross >= kLines) return;
      simt::unrolled<kDownCount>([&](int down) {
        simt::unrolled<kAcrossCount>([&](int across) {
          body(down * kAcrossCount + across, thread / kAcross + down * kDown,
               (thread % kAcross + across * kAcross) * kWidth);
        });
      });
    }

    Pack<Real, kWidth> pack_[kDownCount * kAcrossCount];
  };

  __device__ __forceinline__ void multiply(const Real (&a)[kDepth][kRows + kPad],
                                           const Real (&b)[kDepth][kColumns + kPad]) {
    OuterProduct<Real> step = sum_;  // in registers, as no barrier comes between
    simt::unrolled<kDepth>([&](int depth) {
      const Real* const a_part = a[depth] + row_;
      const Real* const b_part = b[depth] + column_;
      if constexpr (kHalves) {
        Pack<Real, 4> a_halves[2] = {load_pack<4>(a_part), load_pack<4>(a_part + 4)};
        const Pack<Real, 4> b_halves[2] = {load_pack<4>(b_part), load_pack<4>(b_part + 4 + kGap)};
        simt::Pack8<Real> columns;
        simt::unrolled<8>([&](int j) { columns.lanes[j] = b_halves[j / 4].at[j % 4]; });
        step.add([&](int i) { return a_halves[i / 4].at[i % 4]; }, columns);
      } else {
        step.add([&](int i) { return a_part[i]; }, b_part);
      }
    });
    sum_ = step;
  }

  int row_, column_;  // of this thread's first element, within the tile
  bool idle_;
  OuterProduct<Real> sum_;
};

}  // namespace
}  // namespace cucina
