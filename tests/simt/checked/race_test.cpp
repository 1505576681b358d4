// Races and reads of unwritten shared memory are reported with both accesses, their threads and
// their lines.
#include <gtest/gtest.h>

#include <regex>
#include <vector>

#include "core/error.h"
#include "kernels/simt/map.h"
#include "kernels/simt/options.h"
#include "kernels/simt/simt.h"
#include "tests/simt/reported.h"

namespace cucina {
namespace {

constexpr simt::Schedule kSchedules[] = {simt::Schedule::forward, simt::Schedule::reverse,
                                         simt::Schedule::shuffled};

template <typename Launch>
void expect_race(const std::string& pattern, const Launch& launch) {
  for (const simt::Schedule schedule : kSchedules) {
    const simt::ScopedOptions options({.schedule = schedule, .detect_races = true});
    const std::string text = reported(launch);
    EXPECT_TRUE(std::regex_search(text, std::regex(pattern)))
        << "expected " << pattern << "\nin       " << text;
  }
}

template <typename Launch>
void expect_silence(const Launch& launch) {
  for (const simt::Schedule schedule : kSchedules) {
    const simt::ScopedOptions options(
        {.schedule = schedule, .poison_shared = true, .detect_races = true});
    try {
      launch();
    } catch (const Error& error) {
      ADD_FAILURE() << "schedule " << static_cast<int>(schedule) << ": " << error.what();
    }
  }
}

std::string line(int number) { return "checked/race_test\\.cpp:" + std::to_string(number); }

constexpr int kUnwritten = __LINE__ + 4;
__global__ void unwritten_kernel(int* out) {
  __shared__ int tile[64];
  if (threadIdx.x != 9) tile[threadIdx.x] = 1;
  __syncthreads();
  out[threadIdx.x] = tile[63 - threadIdx.x];
}

TEST(Race, a_read_of_shared_memory_nobody_wrote) {
  std::vector<int> out(64);
  expect_race(
      "test.unwritten: block \\(0,0,0\\): thread \\(54,0,0\\) reads shared variable tile \\(byte "
      "36\\) at " +
          line(kUnwritten + 1) + ", which no thread of the block has written",
      [&] {
        simt::launch("test.unwritten", unwritten_kernel, {.grid = {1}, .block = {64}}, out.data());
      });
}

constexpr int kOverwrite = __LINE__ + 5;
__global__ void overwritten_kernel(int* out) {
  __shared__ int tile[64];
  int sum = 0;
  for (int round = 0; round < 2; ++round) {
    tile[threadIdx.x] = round;
    __syncthreads();
    sum += tile[63 - threadIdx.x];  // no barrier after it
  }
  out[threadIdx.x] = sum;
}

TEST(Race, a_tile_overwritten_before_the_others_have_read_it) {
  std::vector<int> out(64);
  expect_race(
      "test.overwritten: block \\(0,0,0\\): race on shared variable tile \\(byte \\d+\\): thread "
      "\\(\\d+,0,0\\) (read at " +
          line(kOverwrite + 2) + " and thread \\(\\d+,0,0\\) writes at " + line(kOverwrite) +
          "|wrote at " + line(kOverwrite) + " and thread \\(\\d+,0,0\\) reads at " +
          line(kOverwrite + 2) + "), with no barrier between",
      [&] {
        simt::launch("test.overwritten", overwritten_kernel, {.grid = {1}, .block = {64}},
                     out.data());
      });
}

constexpr int kSameWord = __LINE__ + 3;
__global__ void same_word_kernel(int* out) {
  if (threadIdx.x == 3 || threadIdx.x == 40) {
    *out = static_cast<int>(threadIdx.x);
  }
}

TEST(Race, two_threads_writing_one_word_of_global_memory) {
  int out = 0;
  expect_race(
      "test.same_word: block \\(0,0,0\\): race on global memory at 0x[0-9a-f]+: thread "
      "\\((3|40),0,0\\) wrote "
      "at " +
          line(kSameWord) + " and thread \\((3|40),0,0\\) writes at " + line(kSameWord),
      [&] {
        simt::launch("test.same_word", same_word_kernel, {.grid = {1}, .block = {64}}, &out);
      });
}

constexpr int kBlocks = __LINE__ + 2;
__global__ void every_block_writes_kernel(int* out) {
  if (threadIdx.x == 5) *out = 1;
}

TEST(Race, two_blocks_writing_one_word_of_global_memory) {
  int out = 0;
  expect_race(
      "race on global memory.*thread \\(5,0,0\\) of block \\(\\d,0,0\\) wrote at " + line(kBlocks) +
          " and thread \\(5,0,0\\) writes at " + line(kBlocks) + ", with no ordering between",
      [&] {
        simt::launch("test.blocks", every_block_writes_kernel, {.grid = {3}, .block = {32}}, &out);
      });
}

__global__ void shuffle_is_no_fence_kernel(float* out) {
  __shared__ float tile[32];
  tile[threadIdx.x] = 1.0f;
  const float x = __shfl_xor_sync(0xffffffffu, 1.0f, 1);
  out[threadIdx.x] = x + tile[threadIdx.x ^ 1];
}

TEST(Race, a_shuffle_orders_no_memory) {
  std::vector<float> out(32);
  expect_race("race on shared variable tile", [&] {
    simt::launch("test.shuffle", shuffle_is_no_fence_kernel, {.grid = {1}, .block = {32}},
                 out.data());
  });
}

__global__ void half_warp_sync_kernel(float* out) {
  __shared__ float tile[32];
  tile[threadIdx.x] = 1.0f;
  __syncwarp(threadIdx.x < 16 ? 0x0000ffffu : 0xffff0000u);
  out[threadIdx.x] = tile[threadIdx.x ^ 1] + tile[31 - threadIdx.x];
}

TEST(Race, a_syncwarp_orders_only_the_lanes_of_its_mask) {
  std::vector<float> out(32);
  expect_race("(race on shared variable tile|which no thread of the block has written)", [&] {
    simt::launch("test.half", half_warp_sync_kernel, {.grid = {1}, .block = {32}}, out.data());
  });
}

// Lanes 0 and 2 are ordered through lane 1, which meets first the one and then the other.
__global__ void chain_kernel(int* out) {
  __shared__ int word;
  if (threadIdx.x == 0) word = 7;
  if (threadIdx.x < 2) __syncwarp(0x3u);
  if (threadIdx.x == 1 || threadIdx.x == 2) __syncwarp(0x6u);
  if (threadIdx.x == 2) *out = word;
}

TEST(Race, a_chain_of_syncwarps_does_order) {
  int out = 0;
  expect_silence(
      [&] { simt::launch("test.chain", chain_kernel, {.grid = {1}, .block = {32}}, &out); });
  EXPECT_EQ(out, 7);
}

__global__ void dynamic_kernel(int* out) {
  int* tile = simt::dynamic_shared<int>();
  tile[threadIdx.x % 32] = 1;
  __syncthreads();
  out[threadIdx.x] = tile[threadIdx.x % 32];
}

TEST(Race, dynamic_shared_memory_is_watched_too) {
  std::vector<int> out(64);
  expect_race("race on dynamic shared memory \\(byte \\d+\\)", [&] {
    simt::launch("test.dynamic", dynamic_kernel, {.grid = {1}, .block = {64}, .shared_bytes = 128},
                 out.data());
  });
}

constexpr int kAtomic = __LINE__ + 2;
__global__ void atomic_and_plain_kernel(int* out) {
  atomicAdd(out, 1);
  if (threadIdx.x == 50) *out = 0;
}

TEST(Race, an_atomic_and_a_plain_write_race) {
  int out = 0;
  expect_race("(updated at " + line(kAtomic) + " and .* writes at " + line(kAtomic + 1) +
                  "|wrote at " + line(kAtomic + 1) + " and .* updates at " + line(kAtomic) + ")",
              [&] {
                simt::launch("test.atomic", atomic_and_plain_kernel, {.grid = {1}, .block = {64}},
                             &out);
              });
}

__global__ void bytes_kernel(unsigned char* out) {
  out[threadIdx.x] = static_cast<unsigned char>(threadIdx.x);
}

TEST(Race, neighbouring_bytes_of_one_word_do_not_race) {
  std::vector<unsigned char> out(64);
  expect_silence(
      [&] { simt::launch("test.bytes", bytes_kernel, {.grid = {1}, .block = {64}}, out.data()); });
}

__global__ void last_block_sums_kernel(const float* x, float* partial, unsigned* done, float* out) {
  __shared__ bool last;
  if (threadIdx.x == 0) {
    partial[blockIdx.x] = x[blockIdx.x];
    __threadfence();
    last = atomicAdd(done, 1u) == gridDim.x - 1;
  }
  __syncthreads();
  if (last && threadIdx.x == 0) {
    float sum = 0.0f;
    for (unsigned b = 0; b < gridDim.x; ++b) sum += partial[b];
    *out = sum;
  }
}

TEST(Race, the_last_block_may_read_what_the_others_fenced) {
  const std::vector<float> x = {1, 2, 3, 4, 5};
  std::vector<float> partial(5);
  float out = 0;
  expect_silence([&] {
    unsigned done = 0;
    simt::launch("test.last_block", last_block_sums_kernel, {.grid = {5}, .block = {64}}, x.data(),
                 partial.data(), &done, &out);
  });
  EXPECT_EQ(out, 15.0f);
}

__global__ void unfenced_kernel(const float* x, float* partial, unsigned* done, float* out) {
  if (threadIdx.x == 0) {
    partial[blockIdx.x] = x[blockIdx.x];
    if (atomicAdd(done, 1u) == gridDim.x - 1) {
      for (unsigned b = 0; b < gridDim.x; ++b) *out += partial[b];
    }
  }
}

TEST(Race, the_last_block_may_not_read_what_was_never_fenced) {
  const std::vector<float> x = {1, 2, 3, 4, 5};
  std::vector<float> partial(5);
  float out = 0;
  expect_race("race on global memory.*of block", [&] {
    unsigned done = 0;
    simt::launch("test.unfenced", unfenced_kernel, {.grid = {5}, .block = {64}}, x.data(),
                 partial.data(), &done, &out);
  });
}

struct ShiftInPlace {
  int* x;
  __device__ void operator()(std::int64_t i) const { x[i] = x[i + 1]; }
};

TEST(Race, a_map_whose_calls_read_what_others_write) {
  std::vector<int> x(1001);
  expect_race("test.shift: block .*: race on global memory",
              [&] { simt::map("test.shift", Stream(), 1000, ShiftInPlace{x.data()}); });
}

TEST(Race, reports_name_a_race_by_the_same_words_every_time) {
  const simt::ScopedOptions options(
      {.schedule = simt::Schedule::shuffled, .seed = 3, .detect_races = true});
  std::vector<int> out(64);
  const auto run = [&] {
    return reported([&] {
      simt::launch("test.overwritten", overwritten_kernel, {.grid = {1}, .block = {64}},
                   out.data());
    });
  };
  const std::string first = run();
  EXPECT_FALSE(first.empty());
  for (int i = 0; i < 3; ++i) EXPECT_EQ(run(), first);
}

}  // namespace
}  // namespace cucina
