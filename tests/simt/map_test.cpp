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
