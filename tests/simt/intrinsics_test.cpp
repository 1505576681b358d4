// Scalar intrinsics and vector types are CUDA's: values at the edges, sizes and alignments.
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "kernels/simt/simt.h"

namespace cucina {
namespace {

TEST(Intrinsics, bit_counting_at_the_edges) {
  EXPECT_EQ(__popc(0u), 0);
  EXPECT_EQ(__popc(0xffffffffu), 32);
  EXPECT_EQ(__popcll(~0ull), 64);
  EXPECT_EQ(__clz(0), 32);
  EXPECT_EQ(__clz(1), 31);
  EXPECT_EQ(__clz(-1), 0);
  EXPECT_EQ(__clzll(1), 63);
  EXPECT_EQ(__ffs(0), 0);
  EXPECT_EQ(__ffs(8), 4);
  EXPECT_EQ(__ffs(std::numeric_limits<int>::min()), 32);
  EXPECT_EQ(__ffsll(1ll << 40), 41);
  EXPECT_EQ(__brev(1u), 0x80000000u);
  EXPECT_EQ(__brev(0x0000f00du), 0xb00f0000u);
  EXPECT_EQ(__umulhi(0xffffffffu, 0xffffffffu), 0xfffffffeu);
  EXPECT_EQ(__byte_perm(0x33221100u, 0x77665544u, 0x7410u), 0x77441100u);
}

TEST(Intrinsics, bit_casts_keep_every_bit) {
  EXPECT_EQ(__float_as_int(1.0f), 0x3f800000);
  EXPECT_EQ(__float_as_uint(-0.0f), 0x80000000u);
  EXPECT_EQ(__int_as_float(0x40490fdb), 3.14159274f);
  EXPECT_EQ(__uint_as_float(0xff800000u), -INFINITY);
  EXPECT_EQ(__double_as_longlong(1.0), 0x3ff0000000000000ll);
  EXPECT_EQ(__longlong_as_double(0x4000000000000000ll), 2.0);
}

TEST(Intrinsics, min_and_max_let_numbers_win_over_nan_and_order_zeros) {
  const float nan = NAN;
  EXPECT_EQ(min(nan, 2.0f), 2.0f);
  EXPECT_EQ(min(2.0f, nan), 2.0f);
  EXPECT_EQ(max(nan, -2.0f), -2.0f);
  EXPECT_EQ(max(-2.0f, nan), -2.0f);
  EXPECT_TRUE(std::isnan(max(nan, nan)));
  EXPECT_TRUE(std::signbit(min(0.0f, -0.0f)));
  EXPECT_TRUE(std::signbit(min(-0.0f, 0.0f)));
  EXPECT_FALSE(std::signbit(max(-0.0, 0.0)));
  EXPECT_FALSE(std::signbit(max(0.0, -0.0)));
  EXPECT_EQ(min(3.0, 2.0), 2.0);
  EXPECT_EQ(min(-1, 4), -1);
  EXPECT_EQ(max(-1, 1u), 0xffffffffu);  // CUDA converts to unsigned
  EXPECT_EQ(max(1ll << 40, 3ll), 1ll << 40);
}

TEST(Intrinsics, fma_rounds_once) {
  const volatile float third = 1.0f / 3.0f;
  EXPECT_EQ(third * 3.0f - 1.0f, 0.0f);                                           // rounded twice
  EXPECT_EQ(fma(third, 3.0f, -1.0f), static_cast<float>(double{third} * 3 - 1));  // exact in f64
  EXPECT_NE(fma(third, 3.0f, -1.0f), 0.0f);
  EXPECT_EQ(rsqrtf(4.0f), 0.5f);
  EXPECT_EQ(__float2int_rn(2.5f), 2);
}

TEST(VectorTypes, have_cuda_s_sizes_and_alignments) {
  EXPECT_EQ(sizeof(float2), 8u);
  EXPECT_EQ(alignof(float2), 8u);
  EXPECT_EQ(sizeof(float3), 12u);
  EXPECT_EQ(alignof(float3), 4u);
  EXPECT_EQ(alignof(float4), 16u);
  EXPECT_EQ(alignof(double2), 16u);
  EXPECT_EQ(sizeof(uchar4), 4u);
  EXPECT_EQ(alignof(uchar4), 4u);
  EXPECT_EQ(alignof(ushort4), 8u);
  EXPECT_EQ(alignof(int4), 16u);
  const float4 v = make_float4(1, 2, 3, 4);
  EXPECT_EQ(v.x + 10 * v.y + 100 * v.z + 1000 * v.w, 4321.0f);
  const dim3 d(7, 8);
  EXPECT_EQ(d.x * 100 + d.y * 10 + d.z, 781u);
}

}  // namespace
}  // namespace cucina
