// The grid runs as CUDA says: indices, barriers, dynamic shared memory, errors, and no switch where
// nobody waits.
#include <gtest/gtest.h>
#include <omp.h>

#include <algorithm>
#include <cstdint>
#include <stdexcept>
#include <vector>

#include "kernels/simt/options.h"
#include "kernels/simt/report.h"
#include "kernels/simt/simt.h"
#include "tests/simt/correct_kernels.h"

namespace cucina {
namespace {

__global__ void indices_kernel(unsigned* out) {
  const unsigned block = (blockIdx.z * gridDim.y + blockIdx.y) * gridDim.x + blockIdx.x;
  const unsigned thread = (threadIdx.z * blockDim.y + threadIdx.y) * blockDim.x + threadIdx.x;
  const unsigned threads = blockDim.x * blockDim.y * blockDim.z;
  unsigned* mine = out + 6 * (block * threads + thread);
  mine[0] = blockIdx.x;
  mine[1] = blockIdx.y;
  mine[2] = blockIdx.z;
  mine[3] = threadIdx.x;
  mine[4] = threadIdx.y;
  mine[5] = threadIdx.z;
}

TEST(Execution, every_thread_of_every_block_runs_once_with_its_own_indices) {
  constexpr unsigned kGrid[3] = {3, 2, 4};
  constexpr unsigned kBlock[3] = {5, 7, 3};
  std::vector<unsigned> out(6 * 24 * 105, 99);
  simt::launch("test.indices", indices_kernel, {.grid = {3, 2, 4}, .block = {5, 7, 3}}, out.data());
  std::size_t at = 0;
  for (unsigned b = 0; b < 24; ++b) {
    for (unsigned t = 0; t < 105; ++t, at += 6) {
      const unsigned expected[6] = {
          b % kGrid[0],  b / kGrid[0] % kGrid[1],   b / (kGrid[0] * kGrid[1]),
          t % kBlock[0], t / kBlock[0] % kBlock[1], t / (kBlock[0] * kBlock[1])};
      for (int i = 0; i < 6; ++i)
        ASSERT_EQ(out[at + i], expected[i]) << "block " << b << " thread " << t << " " << i;
    }
  }
}

__global__ void reverse_kernel(int* x, int rounds) {
  __shared__ int tile[1024];
  const unsigned n = blockDim.x;
  for (int r = 0; r < rounds; ++r) {
    tile[threadIdx.x] = x[blockIdx.x * n + threadIdx.x];
    __syncthreads();
    x[blockIdx.x * n + threadIdx.x] = tile[n - 1 - threadIdx.x];
    __syncthreads();
  }
}

TEST(Execution, barriers_hold_back_every_thread_whatever_the_block_size) {
  for (const unsigned n : {1u, 2u, 31u, 32u, 33u, 63u, 256u, 1000u, 1024u}) {
    std::vector<int> x(3 * n);
    for (std::size_t i = 0; i < x.size(); ++i) x[i] = static_cast<int>(i);
    simt::launch("test.reverse", reverse_kernel, {.grid = {3}, .block = {n}}, x.data(), 5);
    for (unsigned b = 0; b < 3; ++b) {
      for (unsigned i = 0; i < n; ++i)
        ASSERT_EQ(x[b * n + i], static_cast<int>(b * n + n - 1 - i)) << n;
    }
  }
}

__global__ void votes_kernel(int* out) {
  const int t = static_cast<int>(threadIdx.x);
  const int count = __syncthreads_count(t % 3 == 0);
  const int all = __syncthreads_and(t < 100);
  const int not_all = __syncthreads_and(t < 99);
  const int any = __syncthreads_or(t == 57);
  const int none = __syncthreads_or(t == 100);
  const bool right = count == 34 && all != 0 && not_all == 0 && any != 0 && none == 0;
  out[t] = right ? 1 : 0;
}

TEST(Execution, counting_barriers_tell_every_thread_the_same) {
  std::vector<int> out(100, -1);
  simt::launch("test.votes", votes_kernel, {.grid = {1}, .block = {100}}, out.data());
  EXPECT_EQ(std::count(out.begin(), out.end(), 1), 100);
}

template <typename T>
__global__ void dynamic_kernel(T* out, int* misaligned) {
  T* values = simt::dynamic_shared<T>();
  if (reinterpret_cast<std::uintptr_t>(values) % 16 != 0) *misaligned = 1;
  values[threadIdx.x] = static_cast<T>(blockIdx.x * 1000 + threadIdx.x);
  __syncthreads();
  out[blockIdx.x * blockDim.x + threadIdx.x] = values[(threadIdx.x + 1) % blockDim.x];
}

TEST(Execution, dynamic_shared_memory_is_the_block_s_and_aligned) {
  std::vector<double> out(8 * 96);
  int misaligned = 0;
  simt::launch("test.dynamic", dynamic_kernel<double>,
               {.grid = {8}, .block = {96}, .shared_bytes = 96 * sizeof(double)}, out.data(),
               &misaligned);
  EXPECT_EQ(misaligned, 0);
  for (int i = 0; i < 8 * 96; ++i) ASSERT_EQ(out[i], i / 96 * 1000 + (i % 96 + 1) % 96) << i;
}

TEST(Execution, a_kernel_without_barriers_costs_no_switch) {
  std::vector<unsigned> out(6 * 64 * 512);
  const simt::Statistics before = simt::statistics();
  simt::launch("test.indices", indices_kernel, {.grid = {64}, .block = {512}}, out.data());
  const simt::Statistics after = simt::statistics();
  EXPECT_EQ(after.launches - before.launches, 1u);
  EXPECT_EQ(after.blocks - before.blocks, 64u);
  EXPECT_EQ(after.threads - before.threads, 64u * 512u);
  EXPECT_EQ(after.switches - before.switches, 0u);
}

TEST(Execution, a_barrier_costs_one_switch_per_thread_that_waits) {
  std::vector<int> x(256);
  const simt::Statistics before = simt::statistics();
  simt::launch("test.reverse", reverse_kernel, {.grid = {1}, .block = {256}}, x.data(), 1);
  EXPECT_EQ(simt::statistics().switches - before.switches, 2u * 255u);
}

TEST(Execution, stacks_are_made_once_and_used_again) {
  std::vector<int> x(1024);
  const auto run = [&] {
    const std::uint64_t before = simt::statistics().stacks;
    simt::launch("test.reverse", reverse_kernel, {.grid = {1}, .block = {1024}}, x.data(), 2);
    return simt::statistics().stacks - before;
  };
  run();
  EXPECT_GE(simt::statistics().stacks, 1024u);
  EXPECT_EQ(run(), 0u);
}

TEST(Execution, correct_kernels_compute_what_plain_loops_do) {
  for (const CorrectKernel& kernel : correct_kernels()) {
    const std::vector<float> actual = kernel.run();
    const std::vector<double> expected = kernel.expected();
    ASSERT_EQ(actual.size(), expected.size());
    for (std::size_t i = 0; i < actual.size(); ++i) {
      // A few hundred f32 roundings of numbers below 32.
      ASSERT_NEAR(actual[i], expected[i], 1e-4) << kernel.name << " element " << i;
    }
  }
}

TEST(Execution, results_do_not_depend_on_the_number_of_os_threads) {
  const int before = omp_get_max_threads();
  for (const CorrectKernel& kernel : correct_kernels()) {
    omp_set_num_threads(1);
    const std::vector<float> alone = kernel.run();
    for (const int threads : {2, 3, 7}) {
      omp_set_num_threads(threads);
      EXPECT_EQ(kernel.run(), alone) << kernel.name << " with " << threads << " OS threads";
    }
  }
  omp_set_num_threads(before);
}

__global__ void nothing_kernel() {}

std::string refusal(const simt::LaunchConfig& config) {
  try {
    simt::launch("test.refused", nothing_kernel, config);
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

TEST(Execution, a_configuration_no_gpu_takes_is_refused_with_name_and_numbers) {
  EXPECT_EQ(refusal({.grid = {1}, .block = {32, 33}}),
            "test.refused: the block is 32 x 33 x 1 = 1056 threads but at most 1024 fit");
  EXPECT_EQ(refusal({.grid = {4, 0}, .block = {32}}),
            "test.refused: the grid is 4 x 0 x 1 but no dimension may be 0; skip the launch when "
            "there is no work");
  EXPECT_EQ(refusal({.grid = {4}, .block = {0}}),
            "test.refused: the block is 0 x 1 x 1 but no dimension may be 0");
  EXPECT_EQ(refusal({.grid = {4}, .block = {1, 1, 65}}),
            "test.refused: the block is 65 threads deep (z) but at most 64 fit");
  EXPECT_EQ(
      refusal({.grid = {1, 65536}, .block = {1}}),
      "test.refused: the grid has 65536 x 1 blocks along y and z but at most 65535 fit along each");
  EXPECT_EQ(refusal({.grid = {1}, .block = {1}, .shared_bytes = 300000}),
            "test.refused: 300000 bytes of dynamic shared memory asked for but at most 232448 fit");
  int handle = 0;
  EXPECT_EQ(refusal({.grid = {1}, .block = {1}, .stream = Stream(Device::cuda, &handle)}),
            "test.refused: the kernel is compiled for cpu but its stream is of cuda");
  EXPECT_EQ(refusal({.grid = {1}, .block = {1024}}), "");
}

__global__ void throwing_kernel(unsigned first) {
  if (blockIdx.x >= first && threadIdx.x == 3)
    throw std::runtime_error("block " + std::to_string(blockIdx.x));
  __syncthreads();
}

TEST(Execution, the_lowest_failing_block_wins_whatever_the_os_threads_and_the_executor_goes_on) {
  const int before = omp_get_max_threads();
  for (const int threads : {1, 2, 4}) {
    omp_set_num_threads(threads);
    for (const auto schedule :
         {simt::Schedule::forward, simt::Schedule::reverse, simt::Schedule::shuffled}) {
      const simt::ScopedOptions options({.schedule = schedule});
      for (int round = 0; round < 5; ++round) {
        try {
          simt::launch("test.throwing", throwing_kernel, {.grid = {50}, .block = {64}}, 11u);
          ADD_FAILURE() << "the exception was lost";
        } catch (const std::runtime_error& error) {
          EXPECT_STREQ(error.what(), "block 11");
        }
        std::vector<int> x(64);
        for (int i = 0; i < 64; ++i) x[i] = i;
        simt::launch("test.reverse", reverse_kernel, {.grid = {1}, .block = {64}}, x.data(), 1);
        ASSERT_EQ(x[0], 63);
      }
    }
  }
  omp_set_num_threads(before);
}

}  // namespace
}  // namespace cucina
