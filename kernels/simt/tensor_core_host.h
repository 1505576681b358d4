// The g++ side of the tensor-core instructions: what a lane brings to a meeting of its warp.
#pragma once

#include <bit>
#include <cstdint>

#include "kernels/simt/tensor_core.h"

namespace cucina::simt {
inline namespace host {
namespace detail {

// d, a and b are kM kN, kM and kN fragments one after another. Reports a warp that lacks lanes, and
// lanes that never arrive.
void mma(MmaFormat format, int m, int n, float* d, const unsigned* a, const unsigned* b,
         const std::source_location& where);
// `count` matrices per row address, `batch` addresses. Also reports an address that is no multiple
// of 16.
void ldmatrix(bool transpose, int count, int batch, unsigned* d, const void* const* row,
              const std::source_location& where);

void begin_copy(void* shared, const void* global, int bytes, int source_bytes,
                const std::source_location& where);
void commit_copies();
void wait_for_copies(int groups_under_way);
void wait_for_all_copies();

}  // namespace detail

template <MmaFormat kFormat>
void mma(float (&d)[4], const unsigned (&a)[4], const unsigned (&b)[2],
         std::source_location where = std::source_location::current()) {
  detail::mma(kFormat, 1, 1, d, a, b, where);
}

template <MmaFormat kFormat, int kM, int kN>
void mma(float (&d)[kM][kN][4], const unsigned (&a)[kM][4], const unsigned (&b)[kN][2],
         std::source_location where = std::source_location::current()) {
  detail::mma(kFormat, kM, kN, d[0][0], a[0], b[0], where);
}

template <bool kTranspose = false, int kCount>
void ldmatrix(unsigned (&d)[kCount], const void* row,
              std::source_location where = std::source_location::current()) {
  static_assert(kCount == 1 || kCount == 2 || kCount == 4);
  detail::ldmatrix(kTranspose, kCount, 1, d, &row, where);
}

template <bool kTranspose = false, int kBatch>
void ldmatrix_each(unsigned (&d)[kBatch][4], const void* const (&row)[kBatch],
                   std::source_location where = std::source_location::current()) {
  detail::ldmatrix(kTranspose, 4, kBatch, d[0], row, where);
}

template <int kBytes>
void cp_async(void* shared, const void* global, int source_bytes = kBytes,
              std::source_location where = std::source_location::current()) {
  static_assert(kBytes == 4 || kBytes == 8 || kBytes == 16);
  detail::begin_copy(shared, global, kBytes, source_bytes, where);
}

inline void cp_async_commit() { detail::commit_copies(); }
template <int kGroups>
void cp_async_wait([[maybe_unused]] std::source_location where = std::source_location::current()) {
#ifdef CUCINA_SIMT_REMOVABLE_BARRIERS
  if (detail::barrier_removed(where)) return;
#endif
  detail::wait_for_copies(kGroups);
}
inline void cp_async_wait_all(
    [[maybe_unused]] std::source_location where = std::source_location::current()) {
#ifdef CUCINA_SIMT_REMOVABLE_BARRIERS
  if (detail::barrier_removed(where)) return;
#endif
  detail::wait_for_all_copies();
}

inline unsigned to_tf32(float x) {
  const auto bits = std::bit_cast<std::uint32_t>(x);
  return x != x ? 0x7fffffffu : (bits + 0x1000u) & 0xffffe000u;
}

}  // namespace host
}  // namespace cucina::simt
