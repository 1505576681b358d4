// CUDA's warp intrinsics on the host: shuffles, votes, matches, reductions, __syncwarp.
//
// Every lane named in `mask` must call the same intrinsic on the same line (__syncwarp: on any
// line) with the same mask; the executor reports lanes that never do. Lanes a partial warp does not
// have are dropped from the mask, as on the GPU. A shuffle that reads a lane outside the mask
// returns bytes 0xFF, which is NaN: undefined on the GPU.
#pragma once

#include <bit>
#include <cstdint>
#include <cstring>
#include <source_location>
#include <type_traits>

#include "kernels/simt/host.h"

namespace cucina::simt {
inline namespace host {
namespace detail {

enum class WarpOp : std::uint8_t {
  sync,
  shuffle,
  ballot,
  match_any,
  match_all,
  reduce_add,
  reduce_min_signed,
  reduce_min_unsigned,
  reduce_max_signed,
  reduce_max_unsigned,
  reduce_and,
  reduce_or,
  reduce_xor,
  collective
};

// What a lane brings to an instruction of its whole warp, which the lane that comes last performs
// for all.
struct Collective {
  void (*perform)(Collective* const (&lanes)[32]);
};

// Waits until the lanes in `mask` are here and returns the calling lane's result. `source` is the
// lane a shuffle reads.
std::uint64_t warp_op(WarpOp op, unsigned mask, std::uint64_t value, int source,
                      const std::source_location& where);
int lane();

template <typename T>
std::uint64_t to_word(T value) {
  static_assert(std::is_trivially_copyable_v<T> &&
                (sizeof(T) == 2 || sizeof(T) == 4 || sizeof(T) == 8));
  std::uint64_t word = 0;
  std::memcpy(&word, &value, sizeof value);
  return word;
}
template <typename T>
T from_word(std::uint64_t word) {
  T value;
  std::memcpy(&value, &word, sizeof value);
  return value;
}
template <typename T>
T shuffle(unsigned mask, T value, int source, const std::source_location& where) {
  return from_word<T>(warp_op(WarpOp::shuffle, mask, to_word(value), source, where));
}

}  // namespace detail

namespace cuda {

inline void __syncwarp(unsigned mask = 0xffffffffu,
                       std::source_location where = std::source_location::current()) {
  detail::warp_op(detail::WarpOp::sync, mask, 0, 0, where);
}

// `width` is a power of two up to 32; each group of `width` lanes shuffles on its own.
template <typename T>
T __shfl_sync(unsigned mask, T value, int source, int width = 32,
              std::source_location where = std::source_location::current()) {
  const int first = detail::lane() & ~(width - 1);
  return detail::shuffle(mask, value, first + (source & (width - 1)), where);
}
template <typename T>
T __shfl_up_sync(unsigned mask, T value, unsigned delta, int width = 32,
                 std::source_location where = std::source_location::current()) {
  const int lane = detail::lane();
  const int source = lane - static_cast<int>(delta);
  return detail::shuffle(mask, value, source < (lane & ~(width - 1)) ? lane : source, where);
}
template <typename T>
T __shfl_down_sync(unsigned mask, T value, unsigned delta, int width = 32,
                   std::source_location where = std::source_location::current()) {
  const int lane = detail::lane();
  const int source = lane + static_cast<int>(delta);
  return detail::shuffle(mask, value, source > (lane | (width - 1)) ? lane : source, where);
}
template <typename T>
T __shfl_xor_sync(unsigned mask, T value, int lane_mask, int width = 32,
                  std::source_location where = std::source_location::current()) {
  const int lane = detail::lane();
  const int source = lane ^ lane_mask;
  // As PTX shfl.bfly: reading a later group yields the own value, an earlier one is allowed.
  return detail::shuffle(mask, value, source > (lane | (width - 1)) ? lane : source, where);
}

inline unsigned __ballot_sync(unsigned mask, int predicate,
                              std::source_location where = std::source_location::current()) {
  return static_cast<unsigned>(
      detail::warp_op(detail::WarpOp::ballot, mask, predicate != 0, 0, where));
}
inline int __any_sync(unsigned mask, int predicate,
                      std::source_location where = std::source_location::current()) {
  return __ballot_sync(mask, predicate, where) != 0;
}
inline int __all_sync(unsigned mask, int predicate,
                      std::source_location where = std::source_location::current()) {
  return __ballot_sync(mask, predicate == 0, where) == 0;
}
// Only the calling lane: CUDA promises no more, and code that relies on more is wrong on some GPU.
inline unsigned __activemask() { return 1u << detail::lane(); }

template <typename T>
unsigned __match_any_sync(unsigned mask, T value,
                          std::source_location where = std::source_location::current()) {
  return static_cast<unsigned>(
      detail::warp_op(detail::WarpOp::match_any, mask, detail::to_word(value), 0, where));
}
template <typename T>
unsigned __match_all_sync(unsigned mask, T value, int* all,
                          std::source_location where = std::source_location::current()) {
  const auto lanes = static_cast<unsigned>(
      detail::warp_op(detail::WarpOp::match_all, mask, detail::to_word(value), 0, where));
  *all = lanes != 0;
  return lanes;
}

#define CUCINA_SIMT_REDUCE(name, T, op)                                               \
  inline T name(unsigned mask, T value,                                               \
                std::source_location where = std::source_location::current()) {       \
    return detail::from_word<T>(                                                      \
        detail::warp_op(detail::WarpOp::op, mask, detail::to_word(value), 0, where)); \
  }
CUCINA_SIMT_REDUCE(__reduce_add_sync, unsigned, reduce_add)
CUCINA_SIMT_REDUCE(__reduce_add_sync, int, reduce_add)
CUCINA_SIMT_REDUCE(__reduce_min_sync, unsigned, reduce_min_unsigned)
CUCINA_SIMT_REDUCE(__reduce_min_sync, int, reduce_min_signed)
CUCINA_SIMT_REDUCE(__reduce_max_sync, unsigned, reduce_max_unsigned)
CUCINA_SIMT_REDUCE(__reduce_max_sync, int, reduce_max_signed)
CUCINA_SIMT_REDUCE(__reduce_and_sync, unsigned, reduce_and)
CUCINA_SIMT_REDUCE(__reduce_or_sync, unsigned, reduce_or)
CUCINA_SIMT_REDUCE(__reduce_xor_sync, unsigned, reduce_xor)
#undef CUCINA_SIMT_REDUCE

}  // namespace cuda
}  // namespace host
}  // namespace cucina::simt
