// Warp intrinsics against what the CUDA C++ Programming Guide says they return, for every width and
// for part warps.
#include <gtest/gtest.h>

#include <array>
#include <cstdint>
#include <vector>

#include "kernels/simt/options.h"
#include "kernels/simt/simt.h"

namespace cucina {
namespace {

enum class Kind { index, up, down, exclusive_or };

template <typename T>
__global__ void shuffle_kernel(T* out, Kind kind, int amount, int width) {
  const T own = static_cast<T>(threadIdx.x * 3 + 1);
  T got{};
  switch (kind) {
    case Kind::index:
      got = __shfl_sync(0xffffffffu, own, amount, width);
      break;
    case Kind::up:
      got = __shfl_up_sync(0xffffffffu, own, static_cast<unsigned>(amount), width);
      break;
    case Kind::down:
      got = __shfl_down_sync(0xffffffffu, own, static_cast<unsigned>(amount), width);
      break;
    case Kind::exclusive_or:
      got = __shfl_xor_sync(0xffffffffu, own, amount, width);
      break;
  }
  out[threadIdx.x] = got;
}

int source_lane(Kind kind, int lane, int amount, int width) {
  const int group = lane / width * width;
  const int within = lane % width;
  switch (kind) {
    case Kind::index:
      return group + ((amount % width) + width) % width;
    case Kind::up:
      return within - amount < 0 ? lane : lane - amount;
    case Kind::down:
      return within + amount >= width ? lane : lane + amount;
    default:
      break;
  }
  // A later group's lane is out of reach, an earlier one's is not.
  return (lane ^ amount) / width > lane / width ? lane : lane ^ amount;
}

template <typename T>
void check_shuffles() {
  for (const auto schedule :
       {simt::Schedule::forward, simt::Schedule::reverse, simt::Schedule::shuffled}) {
    const simt::ScopedOptions options({.schedule = schedule});
    for (const Kind kind : {Kind::index, Kind::up, Kind::down, Kind::exclusive_or}) {
      for (const int width : {1, 2, 4, 8, 16, 32}) {
        for (int amount = 0; amount < 32; ++amount) {
          std::vector<T> out(64);
          simt::launch("test.shuffle", shuffle_kernel<T>, {.grid = {1}, .block = {64}}, out.data(),
                       kind, amount, width);
          for (int t = 0; t < 64; ++t) {
            const int source = t / 32 * 32 + source_lane(kind, t % 32, amount, width);
            ASSERT_EQ(out[t], static_cast<T>(source * 3 + 1))
                << "kind " << static_cast<int>(kind) << " width " << width << " amount " << amount
                << " thread " << t;
          }
        }
      }
    }
  }
}

TEST(Warp, shuffles_of_float_for_every_width) { check_shuffles<float>(); }
TEST(Warp, shuffles_of_double_for_every_width) { check_shuffles<double>(); }
TEST(Warp, shuffles_of_int_for_every_width) { check_shuffles<int>(); }
TEST(Warp, shuffles_of_unsigned_long_long_for_every_width) { check_shuffles<unsigned long long>(); }

__global__ void votes_kernel(unsigned* out) {
  const int t = static_cast<int>(threadIdx.x);
  out[4 * t] = __ballot_sync(0xffffffffu, t % 3 == 0);
  out[4 * t + 1] = static_cast<unsigned>(__any_sync(0xffffffffu, t == 40));
  out[4 * t + 2] = static_cast<unsigned>(__all_sync(0xffffffffu, t != 40));
  out[4 * t + 3] = __match_any_sync(0xffffffffu, t % 5);
}

TEST(Warp, votes_and_matches_see_their_own_warp_only) {
  std::vector<unsigned> out(4 * 96);
  simt::launch("test.votes", votes_kernel, {.grid = {1}, .block = {96}}, out.data());
  for (int t = 0; t < 96; ++t) {
    unsigned ballot = 0;
    unsigned match = 0;
    for (int lane = 0; lane < 32; ++lane) {
      const int other = t / 32 * 32 + lane;
      ballot |= static_cast<unsigned>(other % 3 == 0) << lane;
      match |= static_cast<unsigned>(other % 5 == t % 5) << lane;
    }
    ASSERT_EQ(out[4 * t], ballot) << t;
    ASSERT_EQ(out[4 * t + 1], t / 32 == 1 ? 1u : 0u) << t;
    ASSERT_EQ(out[4 * t + 2], t / 32 == 1 ? 0u : 1u) << t;
    ASSERT_EQ(out[4 * t + 3], match) << t;
  }
}

__global__ void match_all_kernel(unsigned* out) {
  int all = -1;
  out[0 + 4 * threadIdx.x] = __match_all_sync(0xffffffffu, 7.5, &all);
  out[1 + 4 * threadIdx.x] = static_cast<unsigned>(all);
  out[2 + 4 * threadIdx.x] = __match_all_sync(0xffffffffu, threadIdx.x == 9 ? 1LL : 2LL, &all);
  out[3 + 4 * threadIdx.x] = static_cast<unsigned>(all);
}

TEST(Warp, match_all_tells_whether_every_lane_agrees) {
  std::vector<unsigned> out(4 * 32);
  simt::launch("test.match_all", match_all_kernel, {.grid = {1}, .block = {32}}, out.data());
  for (int t = 0; t < 32; ++t) {
    EXPECT_EQ(out[4 * t], 0xffffffffu);
    EXPECT_EQ(out[4 * t + 1], 1u);
    EXPECT_EQ(out[4 * t + 2], 0u);
    EXPECT_EQ(out[4 * t + 3], 0u);
  }
}

struct Reduced {
  int add, least, most;
  unsigned unsigned_add, unsigned_least, unsigned_most, and_bits, or_bits, xor_bits;
  bool operator==(const Reduced&) const = default;
};

__global__ void reduce_kernel(Reduced* out, unsigned mask) {
  if ((mask >> threadIdx.x & 1) == 0) return;
  const int x = static_cast<int>(threadIdx.x * 2654435761u);
  const unsigned u = threadIdx.x * 2654435761u + 17;
  out[threadIdx.x] = {
      __reduce_add_sync(mask, x),         __reduce_min_sync(mask, x), __reduce_max_sync(mask, x),
      __reduce_add_sync(mask, u),         __reduce_min_sync(mask, u), __reduce_max_sync(mask, u),
      __reduce_and_sync(mask, u | 0x40u), __reduce_or_sync(mask, u),  __reduce_xor_sync(mask, u)};
}

TEST(Warp, reductions_fold_the_lanes_of_the_mask) {
  for (const unsigned mask : {0xffffffffu, 0x0000ffffu, 0x80000001u, 0x00000010u, 0x5a5a5a5au}) {
    std::vector<Reduced> out(32);
    simt::launch("test.reduce", reduce_kernel, {.grid = {1}, .block = {32}}, out.data(), mask);
    Reduced expected{0, INT32_MAX, INT32_MIN, 0, UINT32_MAX, 0, UINT32_MAX, 0, 0};
    for (unsigned lane = 0; lane < 32; ++lane) {
      if ((mask >> lane & 1) == 0) continue;
      const int x = static_cast<int>(lane * 2654435761u);
      const unsigned u = lane * 2654435761u + 17;
      expected.add =
          static_cast<int>(static_cast<unsigned>(expected.add) + static_cast<unsigned>(x));
      expected.least = std::min(expected.least, x);
      expected.most = std::max(expected.most, x);
      expected.unsigned_add += u;
      expected.unsigned_least = std::min(expected.unsigned_least, u);
      expected.unsigned_most = std::max(expected.unsigned_most, u);
      expected.and_bits &= u | 0x40u;
      expected.or_bits |= u;
      expected.xor_bits ^= u;
    }
    for (unsigned lane = 0; lane < 32; ++lane) {
      if ((mask >> lane & 1) == 0) continue;
      EXPECT_TRUE(out[lane] == expected) << "mask " << mask << " lane " << lane;
    }
  }
}

__global__ void outside_kernel(float* out) {
  const unsigned half = threadIdx.x < 16 ? 0x0000ffffu : 0xffff0000u;
  out[threadIdx.x] = __shfl_down_sync(half, 1.0f + static_cast<float>(threadIdx.x), 8);
}

TEST(Warp, a_shuffle_reading_a_lane_outside_its_mask_gets_nan) {
  std::vector<float> out(32);
  simt::launch("test.outside", outside_kernel, {.grid = {1}, .block = {32}}, out.data());
  for (int t = 0; t < 32; ++t) {
    if (t >= 8 && t < 16) {
      EXPECT_TRUE(std::isnan(out[t])) << t;
    } else {
      EXPECT_EQ(out[t], 1.0f + static_cast<float>(t + 8 < 32 ? t + 8 : t)) << t;
    }
  }
}

__global__ void part_warp_kernel(int* out) {
  __syncwarp();
  out[threadIdx.x] = static_cast<int>(__ballot_sync(0xffffffffu, 1));
}

TEST(Warp, lanes_a_part_warp_does_not_have_are_not_waited_for) {
  std::vector<int> out(37);
  simt::launch("test.part", part_warp_kernel, {.grid = {1}, .block = {37}}, out.data());
  for (int t = 0; t < 37; ++t) EXPECT_EQ(out[t], t < 32 ? -1 : 0x1f) << t;
}

__global__ void active_kernel(unsigned* out) { out[threadIdx.x] = __activemask(); }

TEST(Warp, activemask_promises_the_calling_lane_only) {
  std::vector<unsigned> out(64);
  simt::launch("test.active", active_kernel, {.grid = {1}, .block = {64}}, out.data());
  for (int t = 0; t < 64; ++t) EXPECT_EQ(out[t], 1u << t % 32);
}

}  // namespace
}  // namespace cucina
