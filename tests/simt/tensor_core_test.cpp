// Tensor-core instructions against plain matrix products, with the fragment layouts written as the
// PTX ISA's tables give them.
#include "kernels/simt/tensor_core.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <vector>

#include "core/bfloat16.h"
#include "kernels/simt/options.h"
#include "tests/simt/reported.h"

namespace cucina {
namespace {

using simt::MmaFormat;

constexpr simt::Schedule kSchedules[] = {simt::Schedule::forward, simt::Schedule::reverse,
                                         simt::Schedule::shuffled};

struct Place {
  int row, column;
};

// PTX ISA, "Matrix Fragments for mma.m16n8k16 with floating point type": a_i for i in 0..7.
Place a_bf16(int lane, int i) {
  const int group = lane >> 2, in_group = lane % 4;
  const bool upper = (0 <= i && i < 2) || (4 <= i && i < 6);
  return {upper ? group : group + 8, in_group * 2 + (i & 1) + (i >= 4 ? 8 : 0)};
}
// Likewise b_i for i in 0..3.
Place b_bf16(int lane, int i) { return {(lane % 4) * 2 + (i & 1) + (i >= 2 ? 8 : 0), lane >> 2}; }
// "Matrix Fragments for mma.m16n8k8", .tf32: a_i for i in 0..3, b_i for i in 0..1.
Place a_tf32(int lane, int i) {
  return {i == 0 || i == 2 ? lane >> 2 : (lane >> 2) + 8, i < 2 ? lane % 4 : lane % 4 + 4};
}
Place b_tf32(int lane, int i) { return {i == 0 ? lane % 4 : lane % 4 + 4, lane >> 2}; }
// c_i and d_i for i in 0..3, the same in both.
Place d_f32(int lane, int i) {
  return {i < 2 ? lane >> 2 : (lane >> 2) + 8, lane % 4 * 2 + (i & 1)};
}

// A small integer, exact in every format, so that sums are exact in any order.
float number(int i) { return static_cast<float>(i * 7 % 17 - 8); }

unsigned bf16_bits(float x) { return bfloat16(x).bits; }
unsigned f32_bits(float x) {
  unsigned bits;
  std::memcpy(&bits, &x, sizeof bits);
  return bits;
}

// kM x kN products side by side: factors a (16 kM, depth), b (depth, 8 kN), sums d (16 kM, 8 kN).
template <MmaFormat kFormat, int kM, int kN>
struct Product {
  static constexpr int kDepth = simt::kMmaDepth<kFormat>;
  std::vector<float> a = std::vector<float>(16 * kM * kDepth);
  std::vector<float> b = std::vector<float>(kDepth * 8 * kN);
  std::vector<float> d = std::vector<float>(16 * kM * 8 * kN);

  void run();
};

struct Fragments {
  std::vector<unsigned> a, b;  // [lane][product][register]
  std::vector<float> d;
};

template <MmaFormat kFormat, int kM, int kN>
__global__ void mma_kernel(const unsigned* a, const unsigned* b, float* d) {
  unsigned own_a[kM][4], own_b[kN][2];
  float own_d[kM][kN][4];
  const auto lane = threadIdx.x;
  std::memcpy(own_a, a + lane * kM * 4, sizeof own_a);
  std::memcpy(own_b, b + lane * kN * 2, sizeof own_b);
  std::memcpy(own_d, d + lane * kM * kN * 4, sizeof own_d);
  if constexpr (kM == 1 && kN == 1) {
    simt::mma<kFormat>(own_d[0][0], own_a[0], own_b[0]);
  } else {
    simt::mma<kFormat>(own_d, own_a, own_b);
  }
  std::memcpy(d + lane * kM * kN * 4, own_d, sizeof own_d);
}

template <MmaFormat kFormat, int kM, int kN>
void Product<kFormat, kM, kN>::run() {
  constexpr bool kBf16 = kFormat == MmaFormat::bf16;
  Fragments f{std::vector<unsigned>(32 * kM * 4), std::vector<unsigned>(32 * kN * 2),
              std::vector<float>(32 * kM * kN * 4)};
  const auto d_at = [&](int lane, int i, int j, int e) -> float& {
    const Place p = d_f32(lane, e);
    return d[static_cast<std::size_t>((16 * i + p.row) * 8 * kN + 8 * j + p.column)];
  };
  for (int lane = 0; lane < 32; ++lane) {
    for (int i = 0; i < kM; ++i) {
      for (int e = 0; e < (kBf16 ? 8 : 4); ++e) {
        const Place p = kBf16 ? a_bf16(lane, e) : a_tf32(lane, e);
        const float x = a[static_cast<std::size_t>((16 * i + p.row) * kDepth + p.column)];
        unsigned& word = f.a[static_cast<std::size_t>((lane * kM + i) * 4 + (kBf16 ? e / 2 : e))];
        word |= kBf16 ? bf16_bits(x) << 16 * (e % 2) : f32_bits(x);
      }
    }
    for (int j = 0; j < kN; ++j) {
      for (int e = 0; e < (kBf16 ? 4 : 2); ++e) {
        const Place p = kBf16 ? b_bf16(lane, e) : b_tf32(lane, e);
        const float x = b[static_cast<std::size_t>(p.row * 8 * kN + 8 * j + p.column)];
        unsigned& word = f.b[static_cast<std::size_t>((lane * kN + j) * 2 + (kBf16 ? e / 2 : e))];
        word |= kBf16 ? bf16_bits(x) << 16 * (e % 2) : f32_bits(x);
      }
    }
    for (int i = 0; i < kM; ++i) {
      for (int j = 0; j < kN; ++j) {
        for (int e = 0; e < 4; ++e) {
          f.d[static_cast<std::size_t>(((lane * kM + i) * kN + j) * 4 + e)] = d_at(lane, i, j, e);
        }
      }
    }
  }
  simt::launch("test.mma", mma_kernel<kFormat, kM, kN>, {.grid = {1}, .block = {32}}, f.a.data(),
               f.b.data(), f.d.data());
  for (int lane = 0; lane < 32; ++lane) {
    for (int i = 0; i < kM; ++i) {
      for (int j = 0; j < kN; ++j) {
        for (int e = 0; e < 4; ++e) {
          d_at(lane, i, j, e) = f.d[static_cast<std::size_t>(((lane * kM + i) * kN + j) * 4 + e)];
        }
      }
    }
  }
}

template <MmaFormat kFormat, int kM, int kN>
void check_products() {
  Product<kFormat, kM, kN> product;
  constexpr int kDepth = simt::kMmaDepth<kFormat>;
  const auto fill = [](std::vector<float>& x, int salt) {
    for (std::size_t i = 0; i < x.size(); ++i) x[i] = number(static_cast<int>(i) + salt);
  };
  fill(product.a, 1);
  fill(product.b, 5);
  fill(product.d, 11);
  std::vector<float> expected = product.d;
  for (int i = 0; i < 16 * kM; ++i) {
    for (int j = 0; j < 8 * kN; ++j) {
      for (int l = 0; l < kDepth; ++l) {
        expected[static_cast<std::size_t>(i * 8 * kN + j)] +=
            product.a[static_cast<std::size_t>(i * kDepth + l)] *
            product.b[static_cast<std::size_t>(l * 8 * kN + j)];
      }
    }
  }
  for (const simt::Schedule schedule : kSchedules) {
    const simt::ScopedOptions options({.schedule = schedule});
    Product<kFormat, kM, kN> run = product;
    run.run();
    EXPECT_EQ(run.d, expected) << static_cast<int>(schedule);
  }
}

TEST(TensorCore, mma_of_bf16_is_the_product_of_matrices) {
  check_products<MmaFormat::bf16, 1, 1>();
  check_products<MmaFormat::bf16, 2, 3>();
  check_products<MmaFormat::bf16, 1, 18>();
}

TEST(TensorCore, mma_of_tf32_is_the_product_of_matrices) {
  check_products<MmaFormat::tf32, 1, 1>();
  check_products<MmaFormat::tf32, 3, 2>();
}

TEST(TensorCore, mma_adds_to_what_is_there_in_ascending_order) {
  // 2^24 + 1 - 2^24: the one is lost if it is added first, and kept if it comes last.
  Product<MmaFormat::tf32, 1, 1> product;
  for (int l = 0; l < 8; ++l) product.b[static_cast<std::size_t>(l * 8)] = 1;
  product.a[0] = 16777216.f;
  product.a[1] = 1.f;
  product.a[2] = -16777216.f;
  product.a[3] = 1.f;
  product.run();
  EXPECT_EQ(product.d[0], 1.f);
}

template <MmaFormat kFormat>
void check_not_finite() {
  constexpr float kInf = std::numeric_limits<float>::infinity();
  constexpr int kDepth = simt::kMmaDepth<kFormat>;
  Product<kFormat, 1, 1> product;
  product.b.assign(product.b.size(), 1.f);
  product.a[3 * kDepth + 2] = std::numeric_limits<float>::quiet_NaN();
  product.a[5 * kDepth + 1] = kInf;
  product.a[9 * kDepth] = kInf;
  product.a[9 * kDepth + 1] = -kInf;
  product.run();
  for (int row = 0; row < 16; ++row) {
    for (int column = 0; column < 8; ++column) {
      const float d = product.d[static_cast<std::size_t>(row * 8 + column)];
      EXPECT_EQ(std::isnan(d), row == 3 || row == 9) << row;
      EXPECT_EQ(d == kInf, row == 5) << row;
    }
  }
}

TEST(TensorCore, nan_and_inf_go_through_an_mma) {
  check_not_finite<MmaFormat::bf16>();
  check_not_finite<MmaFormat::tf32>();
}

TEST(TensorCore, tf32_rounds_to_ten_bits_with_ties_away_from_zero) {
  const auto rounded = [](float x) {
    const unsigned bits = simt::to_tf32(x);
    float y;
    std::memcpy(&y, &bits, sizeof y);
    return y;
  };
  const float ulp = 1.f / 1024;
  EXPECT_EQ(rounded(1 + ulp), 1 + ulp);
  EXPECT_EQ(rounded(1 + ulp / 2), 1 + ulp);
  EXPECT_EQ(rounded(-1 - ulp / 2), -1 - ulp);
  EXPECT_EQ(rounded(1 + ulp / 2 - ulp / 4096), 1.f);
  EXPECT_EQ(rounded(1 + 3 * ulp / 2), 1 + 2 * ulp);
  EXPECT_EQ(rounded(0.f), 0.f);
  EXPECT_EQ(rounded(std::numeric_limits<float>::max()), std::numeric_limits<float>::infinity());
  EXPECT_EQ(rounded(-std::numeric_limits<float>::infinity()),
            -std::numeric_limits<float>::infinity());
  EXPECT_TRUE(std::isnan(rounded(std::numeric_limits<float>::quiet_NaN())));
  unsigned least = 0x7f800001u;  // the NaN whose payload rounding must not drop
  float nan;
  std::memcpy(&nan, &least, sizeof nan);
  EXPECT_TRUE(std::isnan(rounded(nan)));
}

// Lane l names row l % 8 of matrix l / 8; rows lie 24 elements apart.
template <int kCount, bool kTranspose>
__global__ void ldmatrix_kernel(unsigned* out) {
  alignas(16) __shared__ std::uint16_t tile[kCount * 8 * 24];
  for (unsigned i = threadIdx.x; i < kCount * 8 * 24; i += 32) {
    tile[i] = static_cast<std::uint16_t>(i);
  }
  __syncthreads();
  const bool used = threadIdx.x < 8 * kCount;
  unsigned d[kCount];
  simt::ldmatrix<kTranspose>(d, used ? tile + threadIdx.x * 24 : nullptr);
  for (int i = 0; i < kCount; ++i) out[threadIdx.x * kCount + static_cast<unsigned>(i)] = d[i];
}

template <int kCount, bool kTranspose>
void check_ldmatrix() {
  for (const simt::Schedule schedule : kSchedules) {
    const simt::ScopedOptions options({.schedule = schedule});
    std::vector<unsigned> out(32 * kCount);
    simt::launch("test.ldmatrix", ldmatrix_kernel<kCount, kTranspose>, {.grid = {1}, .block = {32}},
                 out.data());
    for (int lane = 0; lane < 32; ++lane) {
      for (int matrix = 0; matrix < kCount; ++matrix) {
        for (int half = 0; half < 2; ++half) {
          // PTX ISA, ldmatrix: thread t holds row t / 4, elements 2 (t % 4) and the next.
          int row = lane / 4, column = lane % 4 * 2 + half;
          if (kTranspose) std::swap(row, column);
          const unsigned got = out[static_cast<std::size_t>(lane * kCount + matrix)] >> 16 * half;
          EXPECT_EQ(got & 0xffffu, static_cast<unsigned>((matrix * 8 + row) * 24 + column))
              << "lane " << lane << " matrix " << matrix;
        }
      }
    }
  }
}

TEST(TensorCore, ldmatrix_deals_rows_to_lanes) {
  check_ldmatrix<1, false>();
  check_ldmatrix<2, false>();
  check_ldmatrix<4, false>();
}

TEST(TensorCore, ldmatrix_transposed_deals_columns_to_lanes) {
  check_ldmatrix<1, true>();
  check_ldmatrix<2, true>();
  check_ldmatrix<4, true>();
}

__global__ void each_kernel(unsigned* out) {
  alignas(16) __shared__ std::uint16_t tile[64 * 8];
  for (unsigned i = threadIdx.x; i < 64 * 8; i += 32) tile[i] = static_cast<std::uint16_t>(i * 3);
  __syncthreads();
  unsigned one[4], two[4], both[2][4];
  const void* const rows[2] = {tile + threadIdx.x * 8, tile + (63 - threadIdx.x) * 8};
  simt::ldmatrix(one, rows[0]);
  simt::ldmatrix(two, rows[1]);
  simt::ldmatrix_each(both, rows);
  unsigned same = 1;
  for (int i = 0; i < 4; ++i) same &= both[0][i] == one[i] && both[1][i] == two[i];
  out[threadIdx.x] = same;
}

TEST(TensorCore, ldmatrix_each_is_one_ldmatrix_after_another) {
  std::vector<unsigned> out(32);
  simt::launch("test.each", each_kernel, {.grid = {1}, .block = {32}}, out.data());
  EXPECT_EQ(out, std::vector<unsigned>(32, 1));
}

// The fragments ldmatrix makes of row-major a and of b stored by columns are those of an mma.
__global__ void product_kernel(const bfloat16* a, const bfloat16* b, float* d) {
  alignas(16) __shared__ bfloat16 a_tile[16][16], b_tile[8][16];
  for (unsigned i = threadIdx.x; i < 256; i += 32) a_tile[i / 16][i % 16] = a[i];
  for (unsigned i = threadIdx.x; i < 128; i += 32) b_tile[i % 8][i / 8] = b[i];
  __syncthreads();
  const unsigned lane = threadIdx.x;
  unsigned a_part[4], b_part[2];
  float sum[4] = {};
  simt::ldmatrix(a_part, &a_tile[lane % 16][lane / 16 * 8]);
  simt::ldmatrix(b_part, &b_tile[lane % 8][lane / 8 % 2 * 8]);
  simt::mma<MmaFormat::bf16>(sum, a_part, b_part);
  for (int i = 0; i < 4; ++i) {
    d[(lane / 4 + static_cast<unsigned>(i / 2) * 8) * 8 + lane % 4 * 2 +
      static_cast<unsigned>(i % 2)] = sum[i];
  }
}

TEST(TensorCore, ldmatrix_makes_the_fragments_of_mma) {
  std::vector<bfloat16> a(256), b(128);
  for (int i = 0; i < 256; ++i) a[static_cast<std::size_t>(i)] = bfloat16(number(i));
  for (int i = 0; i < 128; ++i) b[static_cast<std::size_t>(i)] = bfloat16(number(i + 3));
  std::vector<float> d(128), expected(128);
  for (int i = 0; i < 16; ++i) {
    for (int j = 0; j < 8; ++j) {
      for (int l = 0; l < 16; ++l) {
        expected[static_cast<std::size_t>(i * 8 + j)] += number(i * 16 + l) * number(l * 8 + j + 3);
      }
    }
  }
  simt::launch("test.product", product_kernel, {.grid = {1}, .block = {32}}, a.data(), b.data(),
               d.data());
  EXPECT_EQ(d, expected);
}

constexpr int kLate = __LINE__ + 5;
__global__ void missing_lane_kernel(float* out) {
  unsigned a[4] = {}, b[2] = {};
  float d[4] = {};
  if (threadIdx.x != 7) {
    simt::mma<MmaFormat::bf16>(d, a, b);
  }
  out[threadIdx.x] = d[0];
}

TEST(TensorCore, a_lane_that_never_comes_to_an_mma_is_reported) {
  std::vector<float> out(32);
  const std::string text = reported([&] {
    simt::launch("test.missing_lane", missing_lane_kernel, {.grid = {1}, .block = {32}},
                 out.data());
  });
  expect_says(text, {"test.missing_lane", "lane never arrives", at(__FILE__, kLate), "lane 7"});
}

__global__ void one_product_kernel(float* out) {
  unsigned a[4] = {}, b[2] = {};
  float d[4] = {};
  simt::mma<MmaFormat::tf32>(d, a, b);
  out[threadIdx.x] = d[0];
}

TEST(TensorCore, part_of_a_warp_cannot_multiply) {
  std::vector<float> out(48);
  expect_says(reported([&] {
                simt::launch("test.part", one_product_kernel, {.grid = {1}, .block = {48}},
                             out.data());
              }),
              {"test.part", "its warp has 16 lanes of 32"});
}

__global__ void crooked_kernel(unsigned* out) {
  alignas(16) __shared__ std::uint16_t tile[32 * 8 + 1];
  unsigned d[1];
  simt::ldmatrix(d, tile + threadIdx.x * 8 + 1);
  out[threadIdx.x] = d[0];
}

TEST(TensorCore, ldmatrix_wants_rows_that_begin_at_16_bytes) {
  std::vector<unsigned> out(32);
  expect_says(reported([&] {
                simt::launch("test.crooked", crooked_kernel, {.grid = {1}, .block = {32}},
                             out.data());
              }),
              {"test.crooked", "ldmatrix", "no multiple of 16 bytes"});
}

}  // namespace
}  // namespace cucina
