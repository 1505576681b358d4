// Promises of the benchmarks' driver: cold operands in turn, in-place updates in place, floors and
// quartiles, and that it stops when asked.
#include "kernels/drivers/timing.h"

#include <gtest/gtest.h>

#include <set>

#include "kernels/drivers/operands.h"
#include "kernels/drivers/peaks.h"
#include "optim/all_rooms.h"

namespace cucina::drivers {
namespace {

constexpr Format kF32{DType::f32, Precision::f32};

// y = x, as a call that any backend but the vendor has; counts how often it ran.
struct Counted {
  std::shared_ptr<int> runs = std::make_shared<int>(0);
  Call call{.entry = "copy",
            .inputs = {{"x", {1000}}},
            .outputs = {{"y", {1000}}},
            .run =
                [runs = runs](Backend backend, Device, DType, const Tensors& in, const Tensors& out,
                              Write) {
                  if (backend == Backend::vendor) return false;
                  ++*runs;
                  out[0].copy_from(in[0]);
                  return true;
                },
            .flops = 5e3};
};

TEST(OperandSets, TogetherExceedTheCacheWithTheSameValues) {
  const Counted counted;
  OperandSets sets(counted.call, Device::cpu, DType::f32, 100'000);
  EXPECT_TRUE(sets.cold());
  EXPECT_GE(sets.size() * 8000, 150'000u);
  const auto first = bytes_of(sets.next().in[0]);
  for (std::size_t i = 1; i < sets.size(); ++i) EXPECT_EQ(bytes_of(sets.next().in[0]), first);
}

TEST(OperandSets, EveryTensorIsSomewhereElse) {
  const Counted counted;
  OperandSets sets(counted.call, Device::cpu, DType::f32, 100'000);
  std::set<void*> addresses;
  for (std::size_t i = 0; i < sets.size(); ++i) {
    const OperandSets::Set& set = sets.next();
    addresses.insert({set.in[0].raw(), set.out[0].raw()});
  }
  EXPECT_EQ(addresses.size(), 2 * sets.size());
  EXPECT_TRUE(addresses.contains(sets.next().in[0].raw())) << "the first again";
}

TEST(OperandSets, WhatIsTooSmallToFillACacheIsNotCold) {
  const Counted counted;
  OperandSets sets(counted.call, Device::cpu, DType::f32, std::size_t{1} << 30);
  EXPECT_FALSE(sets.cold());
  EXPECT_EQ(sets.size(), OperandSets::kMost);
}

TEST(OperandSets, AnOutputWithAnInputsNameIsUpdatedInPlace) {
  Call call = Counted().call;
  call.outputs[0].name = "x";
  OperandSets in_place(call, Device::cpu, DType::f32, 1);
  EXPECT_EQ(in_place.next().out[0].raw(), in_place.next().in[0].raw());
  call.outputs[0].dtype = DType::bf16;
  OperandSets other_dtype(call, Device::cpu, DType::f32, 1);
  EXPECT_NE(other_dtype.next().out[0].raw(), other_dtype.next().in[0].raw());
}

TEST(TimeCall, TimesTheBackendsThatHaveTheEntry) {
  const Counted counted;
  const std::vector<Samples> samples =
      time_call(counted.call, Device::cpu, kF32, std::array{Backend::hand, Backend::vendor},
                {.min_seconds = 0.01, .cache_bytes = 100'000});
  ASSERT_EQ(samples.size(), 1u);
  EXPECT_EQ(samples[0].backend, Backend::hand);
  EXPECT_TRUE(samples[0].cold);
  EXPECT_FALSE(samples[0].graph);
  EXPECT_GE(samples[0].seconds.size(), 7u);
  for (const double seconds : samples[0].seconds) EXPECT_GT(seconds, 0);
  EXPECT_GT(*counted.runs, 100) << "a copy of 4 kB takes less than 0.1 ms";
}

TEST(TimeCall, StopsWhenAskedAndDropsWhatIsUnfinished) {
  const Counted counted;
  const int most = 20;
  EXPECT_TRUE(time_call(counted.call, Device::cpu, kF32, std::array{Backend::hand},
                        {.min_seconds = 1e9,
                         .max_seconds = 1e9,
                         .cache_bytes = 1,
                         .stop = [&, asked = 0]() mutable { return ++asked > most; }})
                  .empty());
}

TEST(TimedCases, EveryRoomHasOneOnTheCpu) {
  for (const OpEntry& room : all_rooms()) {
    const std::vector<Case> timed = timed_cases(room, Device::cpu);
    ASSERT_FALSE(timed.empty()) << room.name;
    for (const Case& c : timed) EXPECT_NE(c.timed, Timed::gpu) << room.name << " " << c.name;
    EXPECT_GE(timed_cases(room, Device::cuda).size(), timed.size()) << room.name;
  }
}

TEST(FloorOf, IsTheLargerOfArithmeticAndTraffic) {
  Peaks peaks;
  peaks.copy = 1e9;
  peaks.f32 = peaks.f64 = 1e9;
  peaks.tf32 = peaks.bf16 = 4e9;
  Call call = Counted().call;  // 5,000 operations and 8,000 bytes in f32
  EXPECT_DOUBLE_EQ(floor_of(call, kF32, peaks).seconds, 8e-6);
  EXPECT_FALSE(floor_of(call, kF32, peaks).by_arithmetic);
  call.flops = 5e4;
  EXPECT_DOUBLE_EQ(floor_of(call, kF32, peaks).seconds, 50e-6);
  EXPECT_TRUE(floor_of(call, kF32, peaks).by_arithmetic);
  EXPECT_DOUBLE_EQ(floor_of(call, {DType::f32, Precision::tf32}, peaks).seconds, 12.5e-6);
  peaks.start = 1e-6;
  EXPECT_DOUBLE_EQ(floor_of(call, {DType::bf16, Precision::f32}, peaks).seconds, 13.5e-6);
}

TEST(MeasurePeaks, TheHostCopiesAndMultiplies) {
  const Peaks peaks = measure_peaks(Device::cpu);
  EXPECT_GT(peaks.copy, 1e8);
  EXPECT_GT(peaks.f32, 1e8);
  EXPECT_GT(peaks.f64, 1e8);
  EXPECT_GT(peaks.cache_bytes, 0u);
  EXPECT_NE(peaks.how, "");
}

TEST(Quartiles, LieBetweenNeighbours) {
  const Quartiles q = quartiles({4, 1, 3, 2});
  EXPECT_DOUBLE_EQ(q.low, 1.75);
  EXPECT_DOUBLE_EQ(q.median, 2.5);
  EXPECT_DOUBLE_EQ(q.high, 3.25);
  EXPECT_DOUBLE_EQ(quartiles({7}).low, 7);
}

}  // namespace
}  // namespace cucina::drivers
