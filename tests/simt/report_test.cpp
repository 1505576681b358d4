// Each bug a GPU hides is planted and must be reported with kernel, block, thread, file and line.
#include "kernels/simt/report.h"

#include <gtest/gtest.h>

#include <vector>

#include "kernels/simt/options.h"
#include "kernels/simt/simt.h"
#include "tests/simt/reported.h"

namespace cucina {
namespace {

constexpr int kDivergentFirst = __LINE__ + 3;
__global__ void divergent_kernel() {
  if (blockIdx.y == 1 && threadIdx.y == 3) {
    __syncthreads();
  } else {
    __syncthreads();
  }
}

TEST(Report, threads_waiting_at_different_barriers) {
  const std::string text = reported([] {
    simt::launch("test.divergent", divergent_kernel, {.grid = {2, 2}, .block = {16, 4}});
  });
  expect_says(text,
              {"test.divergent", "block (0,1,0)", "divergent barrier", "thread (0,0,0)",
               "thread (0,3,0)", at(__FILE__, kDivergentFirst), at(__FILE__, kDivergentFirst + 2)});
}

constexpr int kUnmatched = __LINE__ + 3;
__global__ void unmatched_kernel() {
  if (threadIdx.x >= 70) return;
  __syncthreads();
}

TEST(Report, threads_that_returned_before_a_barrier_the_others_wait_at) {
  const std::string text = reported(
      [] { simt::launch("test.unmatched", unmatched_kernel, {.grid = {3}, .block = {96}}); });
  expect_says(text, {"test.unmatched", "block (0,0,0)", "unmatched barrier", "thread (0,0,0) waits",
                     "thread (70,0,0) has returned", "70 of 96", at(__FILE__, kUnmatched)});
}

__global__ void one_barrier_more_kernel() {
  for (unsigned i = 0; i < (threadIdx.x == 5 ? 3u : 2u); ++i) __syncthreads();
}

TEST(Report, one_thread_passing_a_barrier_once_more_than_the_others) {
  const std::string text = reported([] {
    simt::launch("test.once_more", one_barrier_more_kernel, {.grid = {1}, .block = {64}});
  });
  expect_says(text, {"test.once_more", "thread (5,0,0) waits", "has returned", "1 of 64"});
}

constexpr int kReturnedLane = __LINE__ + 3;
__global__ void returned_lane_kernel(int* out) {
  if (threadIdx.x == 33) return;
  *out = __shfl_xor_sync(0xffffffffu, 1, 1);
}

TEST(Report, a_shuffle_whose_mask_names_a_lane_that_returned) {
  int out = 0;
  const std::string text = reported([&] {
    simt::launch("test.returned", returned_lane_kernel, {.grid = {1}, .block = {64}}, &out);
  });
  expect_says(text, {"test.returned", "block (0,0,0)", "thread (32,0,0) waits", "0xffffffff",
                     "names lane 1", "thread (33,0,0) has returned", at(__FILE__, kReturnedLane)});
}

constexpr int kElsewhere = __LINE__ + 4;
__global__ void lane_elsewhere_kernel() {
  if (threadIdx.x != 7) {
    // All but one lane of the warp meet here; that one goes straight to the barrier.
    __ballot_sync(0xffffffffu, 1);
  }
  __syncthreads();
}

TEST(Report, a_vote_whose_mask_names_a_lane_that_waits_elsewhere) {
  const std::string text = reported(
      [] { simt::launch("test.elsewhere", lane_elsewhere_kernel, {.grid = {1}, .block = {32}}); });
  expect_says(text, {"test.elsewhere", "names lane 7", "thread (7,0,0) waits at the barrier",
                     at(__FILE__, kElsewhere), at(__FILE__, kElsewhere + 2)});
}

__global__ void masks_disagree_kernel() {
  __syncwarp(threadIdx.x < 16 ? 0xffffffffu : 0xffff0000u);
}

TEST(Report, a_syncwarp_whose_lanes_give_different_masks) {
  const std::string text = reported(
      [] { simt::launch("test.masks", masks_disagree_kernel, {.grid = {1}, .block = {32}}); });
  expect_says(
      text, {"test.masks", "thread (0,0,0) waits", "0xffffffff", "names lane 16", "has returned"});
}

constexpr int kOtherLine = __LINE__ + 4;
__global__ void two_shuffles_kernel(int* out) {
  int x = 1;
  if (threadIdx.x < 20) {
    x = __shfl_sync(0xffffffffu, x, 0);
  } else {
    x = __shfl_sync(0xffffffffu, x, 1);
  }
  out[threadIdx.x] = x;
}

TEST(Report, lanes_of_one_mask_meeting_at_different_shuffles) {
  std::vector<int> out(32);
  const std::string text = reported([&] {
    simt::launch("test.two", two_shuffles_kernel, {.grid = {1}, .block = {32}}, out.data());
  });
  expect_says(text, {"test.two", "divergent warp", "thread (0,0,0)", "thread (20,0,0)",
                     at(__FILE__, kOtherLine), at(__FILE__, kOtherLine + 2)});
}

constexpr int kNotNamed = __LINE__ + 2;
__global__ void not_in_own_mask_kernel() {
  if (threadIdx.x < 5) __syncwarp(0x0000000fu);
}

TEST(Report, a_lane_that_its_own_mask_does_not_name) {
  const std::string text = reported(
      [] { simt::launch("test.own_mask", not_in_own_mask_kernel, {.grid = {1}, .block = {32}}); });
  expect_says(text, {"test.own_mask", "thread (4,0,0) (lane 4)", "0x0000000f", "does not name it",
                     at(__FILE__, kNotNamed)});
}

TEST(Report, is_the_same_from_run_to_run_under_every_schedule) {
  for (const auto schedule :
       {simt::Schedule::forward, simt::Schedule::reverse, simt::Schedule::shuffled}) {
    const simt::ScopedOptions options({.schedule = schedule, .seed = 4});
    const auto run = [] {
      return reported([] {
        simt::launch("test.divergent", divergent_kernel, {.grid = {9, 2}, .block = {16, 4}});
      });
    };
    const std::string first = run();
    expect_says(first, {"block (0,1,0)"});
    for (int i = 0; i < 10; ++i) EXPECT_EQ(run(), first);
  }
}

TEST(Report, carries_the_exit_code_of_a_failed_check) {
  try {
    simt::launch("test.unmatched", unmatched_kernel, {.grid = {1}, .block = {96}});
    FAIL() << "the planted bug was not reported";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::check_failed);
  }
}

// Syncwarps on different lines do meet, and disjoint masks are independent.
__global__ void legal_kernel(int* out) {
  int x = static_cast<int>(threadIdx.x);
  if (threadIdx.x % 2 == 0) {
    __syncwarp();
  } else {
    __syncwarp();
  }
  const unsigned half = threadIdx.x % 32 < 16 ? 0x0000ffffu : 0xffff0000u;
  for (unsigned i = 0; i < threadIdx.x % 32 / 16 + 1; ++i) x += __shfl_xor_sync(half, x, 1);
  out[threadIdx.x] = x;
}

TEST(Report, says_nothing_about_warps_that_part_and_meet_legally) {
  for (const auto schedule :
       {simt::Schedule::forward, simt::Schedule::reverse, simt::Schedule::shuffled}) {
    const simt::ScopedOptions options({.schedule = schedule});
    std::vector<int> out(64);
    simt::launch("test.legal", legal_kernel, {.grid = {1}, .block = {64}}, out.data());
    for (int i = 0; i < 64; ++i) ASSERT_EQ(out[i], (i % 32 < 16 ? 1 : 2) * (i + (i ^ 1))) << i;
  }
}

}  // namespace
}  // namespace cucina
