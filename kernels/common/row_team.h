// RowTeam: the threads that read one row of a matrix, and how they add up what they found.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <type_traits>

#include "kernels/common/pack.h"
#include "kernels/simt/map.h"
#include "kernels/simt/simt.h"

namespace cucina {
// Every .cu file has its own copy: nvcc and g++ compile the same names to different code.
namespace {

inline constexpr int kRowWidth = 4;    // adjacent elements a lane takes at once
inline constexpr int kWarpLanes = 32;  // lanes of a warp

// Adjacent elements of a row, as numbers to compute with: one load on the GPU; the host reads each
// where it is used, which g++ vectorises.
template <typename T, int kWidth>
class RowElements {
 public:
  __device__ __forceinline__ explicit RowElements(const T* from) {
    if constexpr (kMovePacksWhole) {
      loaded_ = load_pack<kWidth>(from);
    } else {
      loaded_ = from;
    }
  }
  __device__ __forceinline__ Compute<T> operator[](int j) const {
    if constexpr (kMovePacksWhole) {
      return static_cast<Compute<T>>(loaded_.at[j]);
    } else {
      return static_cast<Compute<T>>(loaded_[j]);
    }
  }

 private:
  std::conditional_t<kMovePacksWhole, Pack<T, kWidth>, const T*> loaded_;
};

template <int kWidth, typename T>
__device__ __forceinline__ RowElements<T, kWidth> row_elements(const T* from) {
  return RowElements<T, kWidth>(from);
}

// to[j] (+)= value(j)
template <int kWidth, typename T, typename Value>
__device__ __forceinline__ void store_elements(T* to, bool accumulate, const Value& value) {
  if constexpr (kMovePacksWhole) {
    Pack<Compute<T>, kWidth> pack;
    for (int j = 0; j < kWidth; ++j) pack.at[j] = value(j);
    store_rounded(pack, to, accumulate);
  } else if (accumulate) {
    for (int j = 0; j < kWidth; ++j) to[j] = T(static_cast<Compute<T>>(to[j]) + value(j));
  } else {
    for (int j = 0; j < kWidth; ++j) to[j] = T(value(j));
  }
}

__device__ __forceinline__ float from_lane_xor(float value, int mask) {
  return __shfl_xor_sync(0xffffffffu, value, mask);
}
__device__ __forceinline__ double from_lane_xor(double value, int mask) {
  return __shfl_xor_sync(0xffffffffu, value, mask);
}
__device__ __forceinline__ std::int32_t from_lane_xor(std::int32_t value, int mask) {
  return __shfl_xor_sync(0xffffffffu, value, mask);
}

// kLanes lanes share a row: element k belongs to slot k % (kLanes * kRowWidth), lane l has the
// slots [l * kRowWidth, (l + 1) * kRowWidth), and slots are joined in pairs, so that the order of a
// sum depends on the row's length alone. A lane is a thread; folded, one thread plays them all: the
// loop over slots vectorises, and nobody waits. Both give the same bits.
template <int kLanes, bool kFolded>
struct RowTeam {
  static_assert(kLanes == 1 || kLanes % kWarpLanes == 0);
  static constexpr int kAllSlots = kLanes * kRowWidth;
  static constexpr int kSlots = kFolded ? kAllSlots : kRowWidth;  // of this thread
  static constexpr unsigned kRowsPerBlock = kLanes == 1 ? 128 : kLanes == kWarpLanes ? 4 : 1;
  static constexpr unsigned kThreads = kFolded ? kRowsPerBlock : kRowsPerBlock * kLanes;

  // The row of this thread; may be past the last, for whole warps at once.
  __device__ static __forceinline__ std::int64_t row() {
    const unsigned in_block = kFolded ? threadIdx.x : threadIdx.x / kLanes;
    return static_cast<std::int64_t>(blockIdx.x) * kRowsPerBlock + in_block;
  }
  __device__ static __forceinline__ int lane() {
    return kFolded ? 0 : static_cast<int>(threadIdx.x % kLanes);
  }
  // The first of the slots of this thread.
  __device__ static __forceinline__ int first_slot() { return lane() * kRowWidth; }

  // Calls use.template operator()<kWidth>(k, slot) for this thread's parts [k, k + kWidth) of
  // [0, n); element k + j belongs to its slot + j. `whole`: parts of kRowWidth may be loaded at
  // once.
  template <typename Use>
  __device__ static __forceinline__ void for_parts(std::int64_t n, bool whole, const Use& use) {
    if constexpr (kFolded) {
      constexpr int kVector = 32;  // g++ unrolls 16 turns or fewer, and then does not vectorise
      std::int64_t k = 0;
      if constexpr (kSlots % kVector == 0) {
        for (; k + kVector <= n; k += kVector) {
          use.template operator()<kVector>(k, static_cast<int>(k % kSlots));
        }
      }
      for (; k + kRowWidth <= n; k += kRowWidth) {
        use.template operator()<kRowWidth>(k, static_cast<int>(k % kSlots));
      }
      for (; k < n; ++k) use.template operator()<1>(k, static_cast<int>(k % kSlots));
    } else if (whole) {
      for (std::int64_t k = first_slot(); k < n; k += kAllSlots) {
        use.template operator()<kRowWidth>(k, 0);
      }
    } else {
      for (std::int64_t k = first_slot(); k < n; k += kAllSlots) {
        for (int j = 0; j < kRowWidth; ++j) {
          if (k + j < n) use.template operator()<1>(k + j, j);
        }
      }
    }
  }

  // Joins what the slots hold, for all threads of the team: of(slot) is one's, join(a, b) takes
  // what earlier and later slots hold. Each join of a kernel has a kTurn of its own.
  template <int kTurn, typename Of, typename Join>
  __device__ static __forceinline__ auto join(const Of& of, const Join& join) {
    using Value = decltype(of(0));
    const auto of_lane = [&](int slot) {
      return join(join(of(slot), of(slot + 1)), join(of(slot + 2), of(slot + 3)));
    };
    static_assert(kRowWidth == 4);
    if constexpr (kLanes == 1) {
      return of_lane(0);
    } else if constexpr (kFolded) {
      Value of_lanes[kLanes];
      for (int l = 0; l < kLanes; ++l) of_lanes[l] = of_lane(l * kRowWidth);
      for (int first = 0; first < kLanes; first += kWarpLanes) {
        for (int step = kWarpLanes / 2; step > 0; step /= 2) {
          for (int l = first; l < first + step; ++l) {
            of_lanes[l] = join(of_lanes[l], of_lanes[l + step]);
          }
        }
      }
      Value all = of_lanes[0];
      for (int l = kWarpLanes; l < kLanes; l += kWarpLanes) all = join(all, of_lanes[l]);
      return all;
    } else {
      Value mine = of_lane(0);
      for (int step = kWarpLanes / 2; step > 0; step /= 2) {
        const Value other = from_lane_xor(mine, step);
        // The same sum in both lanes, whether or not joining commutes.
        mine = (lane() & step) == 0 ? join(mine, other) : join(other, mine);
      }
      if constexpr (kLanes > kWarpLanes) {
        __shared__ Value of_warp[kLanes / kWarpLanes];
        if (lane() % kWarpLanes == 0) of_warp[lane() / kWarpLanes] = mine;
        __syncthreads();
        mine = of_warp[0];
        for (int warp = 1; warp < kLanes / kWarpLanes; ++warp) mine = join(mine, of_warp[warp]);
      }
      return mine;
    }
  }

  // The sum of what the slots hold.
  template <int kTurn, typename Real>
  __device__ static __forceinline__ Real sum(const Real (&slots)[kSlots]) {
    return join<kTurn>([&](int slot) { return slots[slot]; }, [](Real a, Real b) { return a + b; });
  }
};

template <bool kFolded, typename F>
void for_lanes(std::int64_t n, const F& f) {
  constexpr std::int64_t kOneLane = 32, kOneWarp = 2048;
  if (n <= kOneLane) {
    f(RowTeam<1, kFolded>{});
  } else if (n <= kOneWarp) {
    f(RowTeam<kWarpLanes, kFolded>{});
  } else {
    f(RowTeam<8 * kWarpLanes, kFolded>{});
  }
}

// Calls f(team) with a value of the RowTeam for rows of n elements: more lanes for longer rows.
// Folded on the host, unless order or checks are asked for, so that every lane must be a thread.
template <typename F>
void for_row_team(std::int64_t n, const F& f) {
  if constexpr (std::is_same_v<simt::Target, Host>) {
    if (!simt::detail::map_as_threads()) return for_lanes<true>(n, f);
  }
  for_lanes<false>(n, f);
}

// The same with the RowTeam that is a whole block, whatever the rows.
template <typename F>
void for_widest_team(const F& f) {
  constexpr int kLanes = 8 * kWarpLanes;
  if constexpr (std::is_same_v<simt::Target, Host>) {
    if (!simt::detail::map_as_threads()) return f(RowTeam<kLanes, true>{});
  }
  f(RowTeam<kLanes, false>{});
}

// Whether parts of kRowWidth of rows of n elements may be loaded at once, from all these tensors;
// undefined ones do not count.
inline bool whole_parts(std::int64_t n, std::initializer_list<Tensor> tensors) {
  if (n % kRowWidth != 0) return false;
  for (const Tensor& tensor : tensors) {
    if (!tensor.defined()) continue;
    const std::uintptr_t bytes = kRowWidth * size_of(tensor.dtype());
    const auto address = reinterpret_cast<std::uintptr_t>(tensor.raw());
    if (address % (bytes < 16 ? bytes : 16) != 0) return false;
  }
  return true;
}

// Launches a kernel whose threads have a RowTeam's row each, unless there are no rows.
template <typename Team, typename... Params, typename... Args>
void launch_rows(const char* name, void (*kernel)(Params...), const Stream& stream,
                 std::int64_t rows, const Args&... args) {
  if (rows == 0) return;
  const std::int64_t blocks = (rows + Team::kRowsPerBlock - 1) / Team::kRowsPerBlock;
  simt::launch(
      name, kernel,
      {.grid = {static_cast<unsigned>(blocks)}, .block = {Team::kThreads}, .stream = stream},
      args...);
}

}  // namespace
}  // namespace cucina
