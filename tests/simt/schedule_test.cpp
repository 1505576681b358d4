// Schedules run threads in different orders, and a correct kernel does not notice.
#include <gtest/gtest.h>
#include <omp.h>

#include <algorithm>
#include <cstdlib>
#include <numeric>
#include <set>
#include <vector>

#include "core/error.h"
#include "kernels/simt/map.h"
#include "kernels/simt/options.h"
#include "tests/simt/correct_kernels.h"

namespace cucina {
namespace {

constexpr simt::Schedule kSchedules[] = {simt::Schedule::forward, simt::Schedule::reverse,
                                         simt::Schedule::shuffled};

__global__ void order_kernel(int* next, int* order) {
  const int global = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  order[atomicAdd(next, 1)] = global;
}

std::vector<int> order_of(const simt::Options& chosen) {
  const simt::ScopedOptions options(chosen);
  const int before = omp_get_max_threads();
  omp_set_num_threads(1);  // the order of blocks is then the schedule's alone
  int next = 0;
  std::vector<int> order(5 * 80, -1);
  simt::launch("test.order", order_kernel, {.grid = {5}, .block = {80}}, &next, order.data());
  omp_set_num_threads(before);
  return order;
}

TEST(Schedule, forward_and_reverse_are_each_other_backwards) {
  std::vector<int> expected(5 * 80);
  std::iota(expected.begin(), expected.end(), 0);
  EXPECT_EQ(order_of({.schedule = simt::Schedule::forward}), expected);
  std::reverse(expected.begin(), expected.end());
  EXPECT_EQ(order_of({.schedule = simt::Schedule::reverse}), expected);
}

TEST(Schedule, shuffled_runs_every_thread_once_in_an_order_of_its_seed) {
  const std::vector<int> one = order_of({.schedule = simt::Schedule::shuffled, .seed = 1});
  EXPECT_EQ(one, order_of({.schedule = simt::Schedule::shuffled, .seed = 1}));
  EXPECT_NE(one, order_of({.schedule = simt::Schedule::shuffled, .seed = 2}));
  std::vector<int> sorted = one;
  std::sort(sorted.begin(), sorted.end());
  EXPECT_EQ(sorted, order_of({.schedule = simt::Schedule::forward}));
  EXPECT_NE(one, sorted);
}

TEST(Schedule, correct_kernels_give_the_same_bits_under_every_schedule) {
  for (const CorrectKernel& kernel : correct_kernels()) {
    const std::vector<float> forward = kernel.run();
    for (const simt::Schedule schedule : kSchedules) {
      for (std::uint64_t seed = 0; seed < 5; ++seed) {
        const simt::ScopedOptions options(
            {.schedule = schedule, .seed = seed, .poison_shared = true});
        EXPECT_EQ(kernel.run(), forward)
            << kernel.name << " schedule " << static_cast<int>(schedule);
      }
    }
  }
}

// The barrier between the two lines is missing.
__global__ void missing_barrier_kernel(int* out) {
  __shared__ int tile[64];
  tile[threadIdx.x] = static_cast<int>(threadIdx.x) + 1;
  out[threadIdx.x] = tile[63 - threadIdx.x];
}

TEST(Schedule, a_missing_barrier_shows_in_every_order) {
  for (const simt::Schedule schedule : kSchedules) {
    const simt::ScopedOptions options({.schedule = schedule, .poison_shared = true});
    std::vector<int> out(64);
    simt::launch("test.missing", missing_barrier_kernel, {.grid = {1}, .block = {64}}, out.data());
    EXPECT_GT(std::count_if(out.begin(), out.end(), [](int v) { return v < 1 || v > 64; }), 0)
        << static_cast<int>(schedule);
  }
}

// Right only where the warps happen to take turns: the second barrier, before the tile is
// overwritten, is missing.
__global__ void overwriting_kernel(int* out) {
  __shared__ int tile[64];
  int sum = 0;
  for (int round = 0; round < 3; ++round) {
    tile[threadIdx.x] = round * 100 + static_cast<int>(threadIdx.x);
    __syncthreads();
    sum += tile[(threadIdx.x + 32) % 64] - round * 100;
  }
  out[threadIdx.x] = sum;
}

TEST(Schedule, the_thread_that_completes_a_barrier_overtakes_the_others) {
  for (const simt::Schedule schedule : kSchedules) {
    const simt::ScopedOptions options({.schedule = schedule});
    std::vector<int> out(64);
    simt::launch("test.overwriting", overwriting_kernel, {.grid = {1}, .block = {64}}, out.data());
    int wrong = 0;
    for (int t = 0; t < 64; ++t) wrong += out[t] != 3 * ((t + 32) % 64);
    EXPECT_GT(wrong, 0) << static_cast<int>(schedule);
  }
}

TEST(Schedule, options_end_with_their_scope) {
  const simt::Options before = simt::options();
  {
    const simt::ScopedOptions options(
        {.schedule = simt::Schedule::reverse, .seed = 9, .poison_shared = true});
    EXPECT_EQ(simt::options().schedule, simt::Schedule::reverse);
    EXPECT_EQ(simt::options().seed, 9u);
    EXPECT_TRUE(simt::options().poison_shared);
  }
  EXPECT_EQ(simt::options().schedule, before.schedule);
  EXPECT_EQ(simt::options().seed, before.seed);
  EXPECT_EQ(simt::options().poison_shared, before.poison_shared);
}

TEST(ScheduleDeathTest, the_environment_sets_the_default) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  const auto with = [](const char* text) {
    setenv("CUCINA_SIMT_SCHEDULE", text, 1);
    try {
      std::exit(10 + static_cast<int>(simt::options().schedule));
    } catch (const Error& error) {
      std::fputs(error.what(), stderr);
      std::exit(2);
    }
  };
  EXPECT_EXIT(with("forward"), ::testing::ExitedWithCode(10), "");
  EXPECT_EXIT(with("reverse"), ::testing::ExitedWithCode(11), "");
  EXPECT_EXIT(with("shuffled"), ::testing::ExitedWithCode(12), "");
  EXPECT_EXIT(with("sideways"), ::testing::ExitedWithCode(2),
              "CUCINA_SIMT_SCHEDULE is 'sideways' but must be forward, reverse or shuffled");
}

}  // namespace
}  // namespace cucina
