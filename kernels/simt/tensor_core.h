// Tensor-core instructions: warp-wide products of small matrices, ldmatrix, cp.async, rounding to
// tf32; one PTX instruction each on the GPU, an emulation on the host.
//
// A fragment is a lane's share of a matrix. With g = lane / 4 and t = lane % 4 (PTX ISA 8.0,
// sections 9.7.13.4.7, m16n8k8, and 9.7.13.4.8, m16n8k16):
//   a, 16 x 16 bf16   register 0: row g, columns 2t and 2t + 1 (the lower column in the lower
//   half);
//                     1: row g + 8; 2: row g, columns 2t + 8 and 2t + 9; 3: both
//   b, 16 x 8 bf16    register 0: rows 2t and 2t + 1 of column g; 1: rows 2t + 8 and 2t + 9
//   a, 16 x 8 tf32    register 0: row g, column t; 1: row g + 8; 2: column t + 4; 3: both
//   b, 8 x 8 tf32     register 0: row t, column g; 1: row t + 4
//   d, 16 x 8 f32     0, 1: row g, columns 2t and 2t + 1; 2, 3: row g + 8
//
// Every instruction but cp.async and to_tf32 is the whole warp's: all 32 lanes call it at the same
// line. Those that come as arrays (`mma` of kM x kN products, `ldmatrix_each`) are so many
// instructions on the GPU but one meeting of the lanes on the host, which is what costs time there.
//
//   mma<kFormat>(d, a, b)      d[i][j] += a[i] b[j]. The host adds products of increasing inner
//   index
//                              one after another, each with one rounding; a GPU in an order and
//                              with roundings of its own: results are not the same bits.
//   ldmatrix<kTranspose>(d, row)
//                              1, 2 or 4 (the size of d) matrices of 8 rows of 16 bytes in shared
//                              memory, lane l giving the address of row l % 8 of matrix l / 8. d[m]
//                              is bytes 4t..4t+3 of row g of matrix m; transposed: 2-byte elements
//                              (2t, g) and (2t + 1, g).
//   cp_async<kBytes>(to, from, source_bytes = kBytes)
//                              copies source_bytes (the rest zeros) from global to shared memory,
//                              kBytes is 4, 8 or 16. Not visible before a wait: to the calling
//                              thread after cp_async_wait, to others after a barrier as well. The
//                              host performs a copy at the wait, not before, and where shared
//                              memory is poisoned the target is NaN from the call on.
//   cp_async_commit()          the copies since the last commit are a group
//   cp_async_wait<kGroups>()   until at most the last kGroups groups are under way
//   to_tf32(x)                 f32 rounded to 10 bits of mantissa, ties away from zero; NaN stays
//   NaN
#pragma once

#include "kernels/simt/simt.h"

namespace cucina::simt {

// What the factors of an mma are. Its inner size is kMmaDepth: 32 bytes of either.
enum class MmaFormat { bf16, tf32 };
template <MmaFormat kFormat>
inline constexpr int kMmaDepth = kFormat == MmaFormat::bf16 ? 16 : 8;

}  // namespace cucina::simt

#ifdef __CUDACC__
#include "kernels/simt/tensor_core_gpu.h"
#else
#include "kernels/simt/tensor_core_host.h"
#endif
