// Out-of-bounds accesses of kernels are found by AddressSanitizer and UndefinedBehaviorSanitizer,
// with kernel, block and thread; correct kernels, and blocks broken off by a report, leave both
// silent.
#include <gtest/gtest.h>

#include <memory>
#include <vector>

#include "kernels/simt/map.h"
#include "kernels/simt/options.h"
#include "kernels/simt/report.h"
#include "kernels/simt/simt.h"
#include "tests/simt/correct_kernels.h"
#include "tests/simt/reported.h"

namespace cucina {
namespace {

class OutOfBoundsDeathTest : public ::testing::Test {
 protected:
  // OpenMP's threads do not survive a fork.
  void SetUp() override { GTEST_FLAG_SET(death_test_style, "threadsafe"); }
};

__global__ void shifted_kernel(const float* x, float* y) {
  __syncthreads();  // so that the access is on a fiber
  y[threadIdx.x] = x[threadIdx.x + 1];
}

TEST_F(OutOfBoundsDeathTest, global_memory) {
  const auto run = [] {
    const auto x = std::make_unique<float[]>(96);
    const auto y = std::make_unique<float[]>(96);
    simt::launch("test.shifted", shifted_kernel, {.grid = {1}, .block = {96}}, x.get(), y.get());
  };
  EXPECT_DEATH(run(), "in kernel test\\.shifted, block \\(0,0,0\\), thread \\(95,0,0\\)");
  EXPECT_DEATH(run(), "heap-buffer-overflow");
}

__global__ void dynamic_kernel(int* out) {
  int* tile = simt::dynamic_shared<int>();
  tile[threadIdx.x] = 1;
  __syncthreads();
  out[threadIdx.x] = tile[threadIdx.x];
}

TEST_F(OutOfBoundsDeathTest, dynamic_shared_memory) {
  const auto run = [] {
    std::vector<int> out(64);
    simt::launch("test.dynamic", dynamic_kernel,
                 {.grid = {1}, .block = {64}, .shared_bytes = 63 * sizeof(int)}, out.data());
  };
  EXPECT_DEATH(run(), "in kernel test\\.dynamic, block \\(0,0,0\\), thread \\(63,0,0\\)");
}

__global__ void static_kernel(int* out, int index) {
  __shared__ int tile[2][8];
  tile[threadIdx.x / 8][threadIdx.x % 8] = 3;
  __syncthreads();
  out[threadIdx.x] = tile[0][threadIdx.x + index];  // within the array, but beyond its first row
}

TEST_F(OutOfBoundsDeathTest, static_shared_memory) {
  const auto run = [] {
    std::vector<int> out(8);
    simt::launch("test.static", static_kernel, {.grid = {1}, .block = {8}}, out.data(), 3);
  };
  // Thread 7 comes last to the barrier and so runs on first.
  EXPECT_DEATH(run(), "in kernel test\\.static, block \\(0,0,0\\), thread \\(7,0,0\\)");
  EXPECT_DEATH(run(), "index 10 out of bounds for type 'int \\[8\\]'");
}

struct OneTooFar {
  float* y;
  __device__ void operator()(std::int64_t i) const { y[i + 1] = 1.0f; }
};

TEST_F(OutOfBoundsDeathTest, map) {
  const auto run = [] {
    const auto y = std::make_unique<float[]>(300);
    simt::map("test.map", Stream(), 300, OneTooFar{y.get()});
  };
  EXPECT_DEATH(run(), "in kernel test\\.map, block \\(1,0,0\\), thread \\(43,0,0\\)");
}

TEST(Sanitized, correct_kernels_run_clean) {
  for (const CorrectKernel& kernel : correct_kernels()) {
    const std::vector<float> actual = kernel.run();
    const std::vector<double> expected = kernel.expected();
    for (std::size_t i = 0; i < actual.size(); ++i)
      ASSERT_NEAR(actual[i], expected[i], 1e-4) << kernel.name << i;
  }
}

__global__ void broken_off_kernel(int* out) {
  volatile int local[64];
  for (int i = 0; i < 64; ++i) local[i] = static_cast<int>(threadIdx.x);
  if (threadIdx.x < 90) __syncthreads();
  out[threadIdx.x] = local[threadIdx.x % 64];
}

TEST(Sanitized, stacks_of_blocks_broken_off_are_clean_again) {
  std::vector<int> out(96);
  for (int round = 0; round < 20; ++round) {
    const std::string text = reported([&] {
      simt::launch("test.broken_off", broken_off_kernel, {.grid = {4}, .block = {96}}, out.data());
    });
    expect_says(text, {"test.broken_off", "unmatched barrier"});
    const CorrectKernel sum = correct_kernels().front();
    ASSERT_NEAR(sum.run()[0], sum.expected()[0], 1e-4);
  }
}

}  // namespace
}  // namespace cucina
