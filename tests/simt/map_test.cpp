// A map calls its functor once for every index, on any number of OS threads and under any schedule.
#include "kernels/simt/map.h"

#include <gtest/gtest.h>
#include <omp.h>

#include <cstdint>
#include <vector>

#include "core/error.h"
#include "kernels/simt/options.h"

namespace cucina {
namespace {

struct CountAndScale {
  const float* x;
  float* y;
  int* calls;
  __device__ void operator()(std::int64_t i) const {
    calls[i] += 1;
    y[i] = 2.0f * x[i] + 1.0f;
  }
};

TEST(Map, calls_once_for_every_index) {
  const int before = omp_get_max_threads();
  for (const int threads : {1, 3}) {
    omp_set_num_threads(threads);
    for (const auto schedule :
         {simt::Schedule::forward, simt::Schedule::reverse, simt::Schedule::shuffled}) {
      const simt::ScopedOptions options({.schedule = schedule, .poison_shared = true});
      for (const std::int64_t n : {1, 31, 257, 4096, 65536, 262143, 262144, 300003}) {
        std::vector<float> x(n);
        std::vector<float> y(n);
        std::vector<int> calls(n);
        for (std::int64_t i = 0; i < n; ++i) x[i] = static_cast<float>(i);
        simt::map("test.map", Stream(), n, CountAndScale{x.data(), y.data(), calls.data()});
        for (std::int64_t i = 0; i < n; ++i) {
          ASSERT_EQ(calls[i], 1) << i << " of " << n;
          ASSERT_EQ(y[i], 2.0f * static_cast<float>(i) + 1.0f) << i << " of " << n;
        }
      }
    }
  }
  omp_set_num_threads(before);
}

// Marks every element with its row and column.
struct MarkElements {
  std::int64_t* marks;
  int* calls;

  struct Row {
    const MarkElements& all;
    std::int64_t row;
    template <int kWidth>
    __device__ void at(std::int64_t i, std::int64_t column) const {
      for (int j = 0; j < kWidth; ++j) {
        all.calls[i + j] += 1;
        all.marks[i + j] = row * 1000000 + column + j;
      }
    }
  };
  __device__ Row row(std::int64_t row) const { return {*this, row}; }
};

template <int kWidth>
void check_map_rows(std::int64_t rows, std::int64_t columns, bool packed = true) {
  constexpr std::int64_t kGuard = 16;  // elements at the end that nobody may touch
  const std::int64_t n = rows * columns;
  std::vector<std::int64_t> marks(n + kGuard, -1);
  std::vector<int> calls(n + kGuard);
  simt::map_rows<kWidth>("test.map_rows", Stream(), rows, columns, packed,
                         MarkElements{marks.data(), calls.data()});
  for (std::int64_t i = 0; i < n; ++i) {
    ASSERT_EQ(calls[i], 1) << i << " of " << rows << " x " << columns;
    ASSERT_EQ(marks[i], i / columns * 1000000 + i % columns) << i;
  }
  for (std::int64_t i = n; i < n + kGuard; ++i) ASSERT_EQ(calls[i], 0) << i << " past " << n;
}

TEST(Map, of_rows_handles_every_element_once_and_knows_its_row_and_column) {
  for (const auto schedule :
       {simt::Schedule::forward, simt::Schedule::reverse, simt::Schedule::shuffled}) {
    const simt::ScopedOptions options({.schedule = schedule, .poison_shared = true});
    for (const std::int64_t columns : {1, 3, 31, 257, 1027, 262147}) {
      check_map_rows<4>(1, columns);
      check_map_rows<4>(7, columns, false);
      check_map_rows<1>(7, columns);
    }
    for (const std::int64_t columns : {4, 36, 1028, 65536}) check_map_rows<4>(5, columns);
    check_map_rows<8>(1, 1000003);
    check_map_rows<8>(0, 8);
    check_map_rows<8>(8, 0);
  }
}

TEST(Map, of_nothing_does_nothing) {
  const simt::Statistics before = simt::statistics();
  simt::map("test.map", Stream(), 0, CountAndScale{nullptr, nullptr, nullptr});
  EXPECT_EQ(simt::statistics().launches, before.launches);
}

TEST(Map, refuses_a_stream_of_the_other_target) {
  int handle = 0;
  float x = 0;
  int calls = 0;
  try {
    simt::map("test.map", Stream(Device::cuda, &handle), 1, CountAndScale{&x, &x, &calls});
    FAIL() << "a cuda stream was accepted";
  } catch (const Error& error) {
    EXPECT_STREQ(error.what(),
                 "test.map: the kernel is compiled for cpu but its stream is of cuda");
  }
  EXPECT_EQ(calls, 0);
}

}  // namespace
}  // namespace cucina
