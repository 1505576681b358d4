// cp.async: what arrives, when it may be seen, and what a missing wait or barrier does.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "kernels/simt/options.h"
#include "kernels/simt/tensor_core.h"
#include "tests/simt/reported.h"

namespace cucina {
namespace {

constexpr simt::Schedule kSchedules[] = {simt::Schedule::forward, simt::Schedule::reverse,
                                         simt::Schedule::shuffled};

std::vector<float> counting(int n) {
  std::vector<float> x(static_cast<std::size_t>(n));
  for (int i = 0; i < n; ++i) x[static_cast<std::size_t>(i)] = static_cast<float>(i + 1);
  return x;
}

// Each thread copies kBytes of which the first `source_bytes` come from memory.
template <int kBytes>
__global__ void copy_kernel(const float* from, float* out, int source_bytes) {
  alignas(16) __shared__ float tile[64 * kBytes / 4];
  const unsigned first = threadIdx.x * (kBytes / 4);
  simt::cp_async<kBytes>(tile + first, source_bytes > 0 ? from + first : nullptr, source_bytes);
  simt::cp_async_commit();
  simt::cp_async_wait<0>();
  __syncthreads();
  const unsigned other = (63 - threadIdx.x) * (kBytes / 4);
  for (unsigned i = 0; i < kBytes / 4; ++i) out[other + i] = tile[other + i];
}

template <int kBytes>
void check_copies() {
  constexpr int kFloats = kBytes / 4;
  for (const simt::Schedule schedule : kSchedules) {
    const simt::ScopedOptions options({.schedule = schedule, .poison_shared = true});
    for (int copied = 0; copied <= kFloats; ++copied) {
      std::vector<float> from = counting(64 * kFloats), out(64 * kFloats, -1.f);
      simt::launch("test.copy", copy_kernel<kBytes>, {.grid = {1}, .block = {64}}, from.data(),
                   out.data(), copied * 4);
      for (int i = 0; i < 64 * kFloats; ++i) {
        const auto at = static_cast<std::size_t>(i);
        EXPECT_EQ(out[at], i % kFloats < copied ? from[at] : 0.f) << kBytes << " " << i;
      }
    }
  }
}

TEST(AsyncCopy, copies_and_fills_up_with_zeros) {
  check_copies<4>();
  check_copies<8>();
  check_copies<16>();
}

// Three groups; how many have arrived shows in what the thread itself can see.
template <int kGroups>
__global__ void groups_kernel(const float* from, float* out) {
  __shared__ float tile[3];
  for (int i = 0; i < 3; ++i) tile[i] = -1;
  for (int i = 0; i < 3; ++i) {
    simt::cp_async<4>(tile + i, from + i);
    simt::cp_async_commit();
  }
  if constexpr (kGroups < 0) {
    simt::cp_async_wait_all();
  } else {
    simt::cp_async_wait<kGroups>();
  }
  for (int i = 0; i < 3; ++i) out[i] = tile[i];
}

TEST(AsyncCopy, a_wait_lets_the_last_groups_be_under_way) {
  const std::vector<float> from{1, 2, 3};
  const auto seen = [&](auto kernel) {
    std::vector<float> out(3);
    simt::launch("test.groups", kernel, {.grid = {1}, .block = {1}}, from.data(), out.data());
    return out;
  };
  EXPECT_EQ(seen(groups_kernel<-1>), (std::vector<float>{1, 2, 3}));
  EXPECT_EQ(seen(groups_kernel<0>), (std::vector<float>{1, 2, 3}));
  EXPECT_EQ(seen(groups_kernel<1>), (std::vector<float>{1, 2, -1}));
  EXPECT_EQ(seen(groups_kernel<2>), (std::vector<float>{1, -1, -1}));
  EXPECT_EQ(seen(groups_kernel<3>), (std::vector<float>{-1, -1, -1}));
}

__global__ void uncommitted_kernel(const float* from, float* out) {
  __shared__ float tile[2];
  tile[0] = tile[1] = -1;
  simt::cp_async<4>(tile, from);
  simt::cp_async_wait<0>();
  out[0] = tile[0];  // in no group yet
  simt::cp_async_wait_all();
  out[1] = tile[0];
}

TEST(AsyncCopy, wait_all_also_waits_for_what_is_in_no_group) {
  const float from = 5;
  std::vector<float> out(2);
  simt::launch("test.uncommitted", uncommitted_kernel, {.grid = {1}, .block = {1}}, &from,
               out.data());
  EXPECT_EQ(out, (std::vector<float>{-1, 5}));
}

__global__ void from_block_to_block_kernel(const float* from, float* out) {
  __shared__ float tile[32];
  if (blockIdx.x == 0) {
    simt::cp_async<4>(tile + threadIdx.x, from + threadIdx.x);  // and returns
    simt::cp_async_commit();
  } else {
    tile[threadIdx.x] = 7;
    simt::cp_async_wait_all();
    out[threadIdx.x] = tile[threadIdx.x];
  }
}

TEST(AsyncCopy, a_copy_nobody_waited_for_ends_with_its_block) {
  const std::vector<float> from = counting(32);
  std::vector<float> out(32);
  simt::launch("test.from_block_to_block", from_block_to_block_kernel, {.grid = {2}, .block = {32}},
               from.data(), out.data());
  EXPECT_EQ(out, std::vector<float>(32, 7.f));
}

// The two planted bugs: each thread reads what another copied.
template <bool kWaits, bool kBarrier>
__global__ void planted_kernel(const float* from, float* out) {
  __shared__ float tile[64];
  simt::cp_async<4>(tile + threadIdx.x, from + threadIdx.x);
  simt::cp_async_commit();
  if (kWaits) simt::cp_async_wait<0>();
  if (kBarrier) __syncthreads();
  out[threadIdx.x] = tile[63 - threadIdx.x];
}

int wrong(void (*kernel)(const float*, float*)) {
  const std::vector<float> from = counting(64);
  std::vector<float> out(64);
  simt::launch("test.planted", kernel, {.grid = {1}, .block = {64}}, from.data(), out.data());
  return static_cast<int>(std::count_if(out.begin(), out.end(), [&](const float& x) {
    return x != from[static_cast<std::size_t>(63 - (&x - out.data()))];
  }));
}

TEST(AsyncCopy, a_missing_wait_and_a_missing_barrier_show_in_every_order) {
  for (const simt::Schedule schedule : kSchedules) {
    const simt::ScopedOptions options({.schedule = schedule, .poison_shared = true});
    EXPECT_EQ((wrong(planted_kernel<true, true>)), 0);
    EXPECT_EQ((wrong(planted_kernel<false, true>)), 64) << static_cast<int>(schedule);
    EXPECT_GT((wrong(planted_kernel<true, false>)), 0) << static_cast<int>(schedule);
  }
}

__global__ void crooked_copy_kernel(const float* from) {
  alignas(16) __shared__ float tile[64 * 4];
  simt::cp_async<16>(tile + threadIdx.x * 4, from + 1);
  simt::cp_async_wait_all();
}

TEST(AsyncCopy, an_address_that_does_not_suit_its_size_is_reported) {
  alignas(16) float from[8] = {};
  expect_says(reported([&] {
                simt::launch("test.crooked_copy", crooked_copy_kernel, {.grid = {1}, .block = {64}},
                             &from[0]);
              }),
              {"test.crooked_copy", "cp.async", "no multiple of 16 bytes"});
}

}  // namespace
}  // namespace cucina
