// The race detector sees asynchronous copies and ldmatrix: a missing wait, a missing barrier, a
// tile overwritten too early.
#include <gtest/gtest.h>

#include <vector>

#include "kernels/simt/options.h"
#include "kernels/simt/tensor_core.h"
#include "tests/simt/reported.h"

namespace cucina {
namespace {

constexpr simt::Schedule kSchedules[] = {simt::Schedule::forward, simt::Schedule::reverse,
                                         simt::Schedule::shuffled};

enum class Missing { nothing, wait, barrier, second_barrier };

constexpr int kCopy = __LINE__ + 4;
template <Missing kMissing, bool kMatrix>
__global__ void staged_kernel(const unsigned* from, unsigned* out) {
  alignas(16) __shared__ unsigned tile[64 * 4];
  simt::cp_async<16>(tile + 4 * threadIdx.x, from + 4 * threadIdx.x);
  simt::cp_async_commit();
  if (kMissing != Missing::wait) simt::cp_async_wait<0>();
  if (kMissing != Missing::barrier) __syncthreads();
  unsigned d[4] = {tile[4 * (63 - threadIdx.x)]};
  if constexpr (kMatrix) simt::ldmatrix(d, tile + 4 * (63 - threadIdx.x));
  out[threadIdx.x] = d[0];
  if (kMissing != Missing::second_barrier) __syncthreads();
  simt::cp_async<16>(tile + 4 * threadIdx.x, from + 4 * threadIdx.x);
  simt::cp_async_wait_all();
}

template <Missing kMissing, bool kMatrix>
std::string report(const simt::Options& chosen) {
  const simt::ScopedOptions options(chosen);
  std::vector<unsigned> from(64 * 4), out(64);
  try {
    simt::launch("test.staged", staged_kernel<kMissing, kMatrix>, {.grid = {1}, .block = {64}},
                 from.data(), out.data());
  } catch (const simt::Report& report) {
    return report.what();
  }
  return "";
}

template <bool kMatrix>
void check() {
  for (const simt::Schedule schedule : kSchedules) {
    for (const bool poison : {false, true}) {
      const simt::Options options{
          .schedule = schedule, .poison_shared = poison, .detect_races = true};
      EXPECT_EQ((report<Missing::nothing, kMatrix>(options)), "");
      expect_says(report<Missing::wait, kMatrix>(options),
                  {"reads shared variable tile", "which no thread of the block has written"});
      EXPECT_NE((report<Missing::barrier, kMatrix>(options)), "");
      expect_says(report<Missing::second_barrier, kMatrix>(options),
                  {"race on shared variable tile", at(__FILE__, kCopy + 8)});
    }
  }
}

TEST(AsyncCopyRace, a_missing_wait_or_barrier_is_reported) { check<false>(); }
TEST(AsyncCopyRace, ldmatrix_is_seen_reading) { check<true>(); }

}  // namespace
}  // namespace cucina
