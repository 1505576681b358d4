// Atomics count right across blocks on several OS threads, and each returns the value before.
#include <gtest/gtest.h>
#include <omp.h>

#include <algorithm>
#include <vector>

#include "kernels/simt/simt.h"

namespace cucina {
namespace {

class Atomics : public ::testing::Test {
 protected:
  void SetUp() override {
    before_ = omp_get_max_threads();
    omp_set_num_threads(4);
  }
  void TearDown() override { omp_set_num_threads(before_); }

 private:
  int before_ = 1;
};

constexpr unsigned kBlocks = 2048;  // long enough to run on several OS threads
constexpr unsigned kThreads = 128;
constexpr unsigned kAll = kBlocks * kThreads;
constexpr int kRounds = 20;  // long enough for OS threads to meet on a busy machine

template <typename T>
__global__ void add_kernel(T* total) {
  for (int i = 0; i < kRounds; ++i) atomicAdd(total, T(2));
}

template <typename T>
T added() {
  T total = 5;
  simt::launch("test.add", add_kernel<T>, {.grid = {kBlocks}, .block = {kThreads}}, &total);
  return total;
}

TEST_F(Atomics, add_loses_nothing) {
  constexpr unsigned kTotal = 5 + 2 * kAll * kRounds;  // below 2^24: exact in f32
  EXPECT_EQ(added<int>(), static_cast<int>(kTotal));
  EXPECT_EQ(added<unsigned>(), kTotal);
  EXPECT_EQ(added<unsigned long long>(), kTotal);
  EXPECT_EQ(added<float>(), static_cast<float>(kTotal));
  EXPECT_EQ(added<double>(), kTotal);
}

__global__ void ticket_kernel(unsigned* next, unsigned* seen) {
  const unsigned ticket = atomicAdd(next, 1u);
  seen[ticket] = 1;
}

TEST_F(Atomics, add_returns_every_value_once) {
  unsigned next = 0;
  std::vector<unsigned> seen(kAll);
  simt::launch("test.ticket", ticket_kernel, {.grid = {kBlocks}, .block = {kThreads}}, &next,
               seen.data());
  EXPECT_EQ(std::count(seen.begin(), seen.end(), 1u), static_cast<std::ptrdiff_t>(kAll));
}

struct Extremes {
  int most = -5, least = 5;
  unsigned and_bits = ~0u, or_bits = 0, xor_bits = 0, wheel = 0;
  int sub = 0;
};

__global__ void extremes_kernel(Extremes* e) {
  const int i = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  atomicMax(&e->most, i % 1000 - 500);
  atomicMin(&e->least, -(i % 777));
  atomicAnd(&e->and_bits, ~(1u << i % 31));
  atomicOr(&e->or_bits, 1u << i % 29);
  atomicXor(&e->xor_bits, 1u << i % 32);
  atomicInc(&e->wheel, 6u);
  atomicSub(&e->sub, 3);
}

TEST_F(Atomics, extremes_bits_and_wheels) {
  Extremes e;
  simt::launch("test.extremes", extremes_kernel, {.grid = {kBlocks}, .block = {kThreads}}, &e);
  EXPECT_EQ(e.most, 499);
  EXPECT_EQ(e.least, -776);
  EXPECT_EQ(e.and_bits, 0x80000000u);
  EXPECT_EQ(e.or_bits, (1u << 29) - 1);
  EXPECT_EQ(e.xor_bits, 0u);  // each bit kAll / 32 = 8192 times
  EXPECT_EQ(e.wheel, kAll % 7);
  EXPECT_EQ(e.sub, -3 * static_cast<int>(kAll));
}

__global__ void exchange_kernel(int* word, int* seen) {
  const int i = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  const int before = atomicExch(word, i + 1);
  seen[before] += 1;  // every value but the last is taken out once, by one thread
}

TEST_F(Atomics, exchange_hands_every_value_to_one_thread) {
  int word = 0;
  std::vector<int> seen(kAll + 1);
  simt::launch("test.exchange", exchange_kernel, {.grid = {kBlocks}, .block = {kThreads}}, &word,
               seen.data());
  seen[word] += 1;
  EXPECT_EQ(std::count(seen.begin(), seen.end(), 1), static_cast<std::ptrdiff_t>(kAll) + 1);
}

__global__ void compare_and_swap_kernel(unsigned long long* total) {
  unsigned long long old = *total;
  for (;;) {
    const unsigned long long seen = atomicCAS(total, old, old + 3);
    if (seen == old) break;
    old = seen;
  }
}

TEST_F(Atomics, compare_and_swap_loops_lose_nothing) {
  unsigned long long total = 1;
  simt::launch("test.cas", compare_and_swap_kernel, {.grid = {kBlocks}, .block = {kThreads}},
               &total);
  EXPECT_EQ(total, 1 + 3ull * kAll);
}

}  // namespace
}  // namespace cucina
