// The block's share of a matrix product on tensor cores: stages of both factors in shared memory,
// filled asynchronously, sums in the registers of mma fragments.
#pragma once

#include <cstdint>
#include <type_traits>

#include "core/dtype.h"
#include "kernels/common/along.h"
#include "kernels/common/pack.h"
#include "kernels/simt/tensor_core.h"
#include "kernels/simt/unrolled.h"

namespace cucina {
// Every .cu file has its own copy: nvcc and g++ compile the same names to different code.
namespace {

// kRows x kColumns elements of c = a b with f32 sums, factors bf16 or f32 rounded to tf32; each
// warp has kWarpRows x kWarpColumns of them. Shared memory holds kStages tiles of kDepth inner
// indices: while one is multiplied, kStages - 1 are on their way.
//
//   using Tile = MmaTile<simt::MmaFormat::bf16, 128, 128, 64, 32>;
//   __global__ void __launch_bounds__(Tile::kThreads) kernel(...) {
//     auto& shared = *simt::dynamic_shared<typename Tile::Shared>();   // Tile::kSharedBytes
//     Tile tile(rows, columns);   // of it within the matrix
//     tile.accumulate(shared, a_loader, b_loader, begin, end);         // again, after a barrier
//     tile.for_each_pair([&](int row, int column, float left, float right) { ... });
//   }
//
// A factor is read through a loader, which says where element (outer, inner) of it is; `outer`, a
// row of a or a column of b, counts from the tile's edge:
//   static constexpr Along kAlong;   along which dimension elements lie side by side
//   static constexpr bool kChunked;  16 bytes of elements along it, from a multiple of that many
//   on,
//                                    are side by side at a multiple of 16 bytes, or all zeros.
//                                    Otherwise elements are loaded one by one.
//   Outer outer(int outer) const;                          what is common to all elements there
//   Inner inner(std::int64_t l) const;                     likewise
//   const Element* at(const Outer&, const Inner&) const;   null where the element is 0
//   const Element* data;                                   any address of global memory
// A thread asks for the same few `outer` (of kAlong inner) all along and keeps what it was told in
// registers. A loader may have `Element value(const Outer&, const Inner&) const` instead of `at`,
// for what has to be computed (a normalisation applied on load); it is asked element by element.
// Or, if kChunked, `Pack<Element, n> chunk(const Outer&, const Inner&) const`, which computes 16
// bytes.
//
// Order of summation: inner indices ascending, kMmaDepth at a time; it does not depend on the shape
// of the tile. Source: NVIDIA PTX ISA; multistage pipelines as in CUTLASS's documentation,
// "efficient GEMM in CUDA".
template <simt::MmaFormat kFormat, int kRows, int kColumns, int kRowsOfWarp, int kWarpColumns,
          int kStages = 4, int kStageBytes = 64>
class MmaTile {
  static constexpr bool kBf16 = kFormat == simt::MmaFormat::bf16;

 public:
  using Element = std::conditional_t<kBf16, bfloat16, float>;
  using Sum = float;
  static constexpr int kTileRows = kRows, kTileColumns = kColumns, kWarpRows = kRowsOfWarp;
  static constexpr int kDepth = kStageBytes / static_cast<int>(sizeof(Element));  // of a stage
  static constexpr int kWarpsAcross = kColumns / kWarpColumns;
  static constexpr int kThreads = kRows / kWarpRows * kWarpsAcross * 32;
  // At least so many blocks share a multiprocessor: while one waits at a barrier, another computes.
  // More sums than 64 in a thread, or fragments that are read element by element and rounded, want
  // the registers of two.
  static constexpr bool kLarge = kWarpRows * kWarpColumns > 64 * 32 || !kBf16;
  static constexpr int kBlocks = kThreads < 256 || !kLarge ? 2 : 1;

  struct Shared {
    alignas(16) Element a[kStages][kRows * kDepth];
    alignas(16) Element b[kStages][kColumns * kDepth];
  };
  static constexpr std::size_t kSharedBytes = sizeof(Shared);

  // Elements beyond `rows` and `columns` are nobody's: warps that have no others do not multiply.
  __device__ explicit MmaTile(std::int64_t rows = kRows, std::int64_t columns = kColumns) {
    const int warp = static_cast<int>(threadIdx.x) / 32;
    row_ = warp / kWarpsAcross * kWarpRows;
    column_ = warp % kWarpsAcross * kWarpColumns;
    idle_ = row_ >= rows || column_ >= columns;
  }

  // sum += a b over inner indices [begin, end).
  template <typename A, typename B>
  __device__ void accumulate(Shared& shared, const A& a, const B& b, std::int64_t begin,
                             std::int64_t end) {
    const Filler<kRows, A> fill_a(a);
    const Filler<kColumns, B> fill_b(b);
    std::int64_t coming = begin;  // the first inner index that is not yet on its way
    for (int stage = 0; stage < kStages - 1; ++stage, coming += kDepth) {
      if (coming < end) {
        fill_a.fill(shared.a[stage], coming, end);
        fill_b.fill(shared.b[stage], coming, end);
      }
      simt::cp_async_commit();
    }
    int full = 0, empty = kStages - 1;
    for (std::int64_t l = begin; l < end; l += kDepth, coming += kDepth) {
      simt::cp_async_wait<kStages - 2>();
      __syncthreads();  // the full stage is there for all, the empty one has been read by all
      if (coming < end) {
        fill_a.fill(shared.a[empty], coming, end);
        fill_b.fill(shared.b[empty], coming, end);
      }
      simt::cp_async_commit();
      if (!idle_) multiply<A::kAlong, B::kAlong>(shared.a[full], shared.b[full]);
      full = full + 1 < kStages ? full + 1 : 0;
      empty = empty + 1 < kStages ? empty + 1 : 0;
    }
  }

  // Calls body(row, column, left, right) for each of this thread's pairs of neighbours in a row:
  // the elements at (row, column) and (row, column + 1) within the tile; column is even.
  template <typename Body>
  __device__ __forceinline__ void for_each_pair(Body body) const {
    const int lane = static_cast<int>(threadIdx.x) % 32;
    simt::unrolled<kM>([&](int i) {
      simt::unrolled<2>([&](int half) {
        simt::unrolled<kN>([&](int j) {
          body(row_ + 16 * i + 8 * half + lane / 4, column_ + 8 * j + lane % 4 * 2,
               sum_[i][j][2 * half], sum_[i][j][2 * half + 1]);
        });
      });
    });
  }

  // Writes the sums of rows [top, top + rows), all or a multiple of kWarpRows of them, to shared
  // memory, element (i, j) to to[(i - top) * kPitch + j].
  template <int kPitch>
  __device__ __forceinline__ void store(float* to, int top = 0, int rows = kRows) const {
    if (row_ < top || row_ >= top + rows) return;
    for_each_pair([&](int row, int column, float left, float right) {
      store_pack(Pack<float, 2>{left, right}, to + (row - top) * kPitch + column);
    });
  }

 private:
  static constexpr int kM = kWarpRows / 16, kN = kWarpColumns / 8;
  static constexpr int kMmaDepth = simt::kMmaDepth<kFormat>;
  static constexpr int kChunk = 16 / static_cast<int>(sizeof(Element));
  static_assert(kWarpRows % 16 == 0 && kWarpColumns % 16 == 0);
  static_assert(kRows % kWarpRows == 0 && kColumns % kWarpColumns == 0);
  static_assert(kDepth % kMmaDepth == 0);
  static_assert(kStages >= 3);

  // A stage of a factor: lines along kAlong, as many as the other dimension has, in chunks of 16
  // bytes.
  template <Along kAlong, int kSize>
  struct Layout {
    static constexpr int kChunks = (kAlong == Along::inner ? kDepth : kSize) / kChunk;
    static constexpr int kLines = kAlong == Along::inner ? kSize : kDepth;
    // Chunks of a line are permuted so that the reads of a warp fall into different banks: eight
    // lines of one chunk for ldmatrix, four lines of two chunks where tf32 elements are read one by
    // one.
    static constexpr bool kByElement = !kBf16 && kAlong == Along::outer;
    static __device__ __forceinline__ int offset(int line, int chunk) {
      int turn;
      if constexpr (kByElement) {
        static_assert(kChunks >= 8);
        turn = line % 4 * 2;
      } else if constexpr (kChunks >= 8) {
        turn = line % 8;
      } else {
        turn = line / (8 / kChunks) % kChunks;
      }
      return (line * kChunks + (chunk ^ turn)) * kChunk;
    }
  };

  // What a thread copies of one factor: a chunk of every kApart-th line.
  template <int kSize, typename Loader>
  class Filler {
    static constexpr bool kInner = Loader::kAlong == Along::inner;
    using Lines = Layout<Loader::kAlong, kSize>;
    static constexpr int kApart = kThreads / Lines::kChunks;
    static constexpr int kCount = (Lines::kLines + kApart - 1) / kApart;
    static constexpr bool kComputed = requires(const Loader& load) {
      load.value(load.outer(0), load.inner(0));
    };
    static constexpr bool kComputedWhole = requires(const Loader& load) {
      load.chunk(load.outer(0), load.inner(0));
    };
    using Outer = decltype(std::declval<const Loader&>().outer(0));

   public:
    __device__ __forceinline__ explicit Filler(const Loader& load)
        : load_(load),
          line_(static_cast<int>(threadIdx.x) / Lines::kChunks),
          chunk_(static_cast<int>(threadIdx.x) % Lines::kChunks) {
      simt::unrolled<kKept>(
          [&](int i) { outer_[i] = load.outer(kInner ? line(i) : chunk_ * kChunk); });
    }

    __device__ __forceinline__ void fill(Element* tile, std::int64_t l, std::int64_t end) const {
      simt::unrolled<kCount>([&](int i) {
        if (Lines::kLines % kApart != 0 && line(i) >= Lines::kLines) return;
        const std::int64_t inner = l + (kInner ? chunk_ * kChunk : line(i));
        Element* const to = tile + Lines::offset(line(i), chunk_);
        if constexpr (kComputedWhole) {
          Pack<Element, kChunk> chunk = {};
          if (inner < end) chunk = load_.chunk(outer_[kInner ? i : 0], load_.inner(inner));
          store_pack(chunk, to);
        } else if constexpr (Loader::kChunked && !kComputed) {
          const Element* const from =
              inner < end ? load_.at(outer_[kInner ? i : 0], load_.inner(inner)) : nullptr;
          simt::cp_async<16>(to, from != nullptr ? from : load_.data, from != nullptr ? 16 : 0);
        } else {
          fill_by_element(to, i, inner, end);
        }
      });
    }

   private:
    static constexpr int kKept = kInner ? kCount : 1;

    __device__ __forceinline__ int line(int i) const { return line_ + i * kApart; }

    __device__ __forceinline__ void fill_by_element(Element* to, int i, std::int64_t inner,
                                                    std::int64_t end) const {
      if constexpr (!kBf16 && !kComputed) {
        simt::unrolled<kChunk>([&](int e) {
          const std::int64_t l = kInner ? inner + e : inner;
          const Element* const from = l < end ? load_.at(outer(i, e), load_.inner(l)) : nullptr;
          simt::cp_async<4>(to + e, from != nullptr ? from : load_.data, from != nullptr ? 4 : 0);
        });
      } else {
        Pack<Element, kChunk> chunk;
        simt::unrolled<kChunk>([&](int e) {
          const std::int64_t l = kInner ? inner + e : inner;
          chunk.at[e] = Element(0.f);
          if (l >= end) return;
          if constexpr (kComputed) {
            chunk.at[e] = load_.value(outer(i, e), load_.inner(l));
          } else {
            const Element* const from = load_.at(outer(i, e), load_.inner(l));
            if (from != nullptr) chunk.at[e] = *from;
          }
        });
        store_pack(chunk, to);
      }
    }
    __device__ __forceinline__ Outer outer(int i, int e) const {
      return kInner ? outer_[i] : load_.outer(chunk_ * kChunk + e);
    }

    const Loader& load_;
    int line_, chunk_;
    Outer outer_[kKept];
  };

  // Fragment registers of this warp's kCount x 4 matrices of 8 x 16 bytes of a stage, at inner
  // index `l` and `first` + 16 i in the other dimension. Of a: rows 0, rows 8, then both of the
  // second half of the inner indices; of b: both halves of columns 0, then of columns 8.
  template <bool kIsA, Along kAlong, int kSize, int kCount>
  static __device__ __forceinline__ void load(unsigned (&fragment)[kCount][4], const Element* tile,
                                              int first, int l) {
    using Lines = Layout<kAlong, kSize>;
    const int lane = static_cast<int>(threadIdx.x) % 32;
    if constexpr (Lines::kByElement) {
      simt::unrolled<kCount>([&](int i) {
        simt::unrolled<4>([&](int r) {
          const int eighth = kIsA ? r % 2 : r / 2, half = kIsA ? r / 2 : r % 2;
          const int outer = first + 16 * i + 8 * eighth + lane / 4;
          fragment[i][r] = simt::to_tf32(
              tile[Lines::offset(l + 4 * half + lane % 4, outer / kChunk) + outer % kChunk]);
        });
      });
    } else {
      const int matrix = lane / 8;  // of four, whose row lane % 8 this lane names
      const int eighth = kIsA ? matrix % 2 : matrix / 2, half = kIsA ? matrix / 2 : matrix % 2;
      const void* row[kCount];
      simt::unrolled<kCount>([&](int i) {
        const int outer = first + 16 * i + 8 * eighth;
        row[i] = tile + (kAlong == Along::inner
                             ? Lines::offset(outer + lane % 8, l / kChunk + half)
                             : Lines::offset(l + 8 * half + lane % 8, outer / kChunk));
      });
      simt::ldmatrix_each<kAlong == Along::outer>(fragment, row);
      if constexpr (!kBf16) {
        simt::unrolled<kCount>([&](int i) {
          simt::unrolled<4>(
              [&](int r) { fragment[i][r] = simt::to_tf32(__uint_as_float(fragment[i][r])); });
        });
      }
    }
  }

  template <Along kAlongA, Along kAlongB>
  __device__ __forceinline__ void multiply(const Element* a, const Element* b) {
    simt::unrolled<kDepth / kMmaDepth>([&](int step) {
      const int l = step * kMmaDepth;
      unsigned a_part[kM][4], b_part[kN / 2][4];
      load<true, kAlongA, kRows>(a_part, a, row_, l);
      load<false, kAlongB, kColumns>(b_part, b, column_, l);
      simt::mma<kFormat>(sum_, a_part, reinterpret_cast<unsigned(&)[kN][2]>(b_part));
    });
  }

  int row_, column_;  // of this warp, within the tile
  bool idle_;
  float sum_[kM][kN][4] = {};
};

}  // namespace
}  // namespace cucina
