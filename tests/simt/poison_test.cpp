// Shared memory that nobody wrote reads as NaN at the start of every block, in templates, helpers
// and dynamic memory.
#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "core/error.h"
#include "kernels/simt/options.h"
#include "kernels/simt/shared_variables.h"
#include "kernels/simt/simt.h"

namespace cucina {
namespace {

template <typename Real>
__device__ Real* scratch_of_helper() {
  __shared__ Real helper_scratch[8];
  return helper_scratch;
}

template <typename Real>
__global__ void read_then_write_kernel(Real* out) {
  __shared__ Real own_scratch[2][4];
  Real* dynamic = simt::dynamic_shared<Real>();
  Real* helper = scratch_of_helper<Real>();
  Real* mine = out + 3 * (blockIdx.x * blockDim.x + threadIdx.x);
  mine[0] = own_scratch[1][threadIdx.x];
  mine[1] = helper[threadIdx.x];
  mine[2] = dynamic[threadIdx.x];
  own_scratch[1][threadIdx.x] = helper[threadIdx.x] = dynamic[threadIdx.x] =
      Real(1);  // for the next block to find
}

template <typename Real>
int nan_count() {
  std::vector<Real> out(3 * 10 * 4);
  simt::launch("test.poison", read_then_write_kernel<Real>,
               {.grid = {10}, .block = {4}, .shared_bytes = 4 * sizeof(Real)}, out.data());
  int count = 0;
  for (const Real value : out) count += std::isnan(value);
  return count;
}

TEST(Poison, fills_static_helper_and_dynamic_shared_memory_of_every_block) {
  const simt::ScopedOptions options({.poison_shared = true});
  EXPECT_EQ(nan_count<float>(), 3 * 10 * 4);
  EXPECT_EQ(nan_count<double>(), 3 * 10 * 4);
}

TEST(Poison, is_off_by_default) {
  nan_count<float>();  // leaves ones behind
  EXPECT_LT(nan_count<float>(), 3 * 10 * 4);
}

TEST(Poison, finds_variables_with_name_and_size) {
  int own = 0;
  for (const auto& variable : simt::host::detail::shared_variables_here()) {
    if (variable.name != "own_scratch") continue;
    ++own;
    EXPECT_TRUE(variable.bytes == 8 * sizeof(float) || variable.bytes == 8 * sizeof(double))
        << variable.bytes;
  }
  EXPECT_EQ(own, 2);  // one per instantiation
}

TEST(Poison, refuses_race_detection_where_the_program_has_none) {
  const simt::ScopedOptions options({.detect_races = true});
  try {
    nan_count<float>();
    FAIL() << "detect_races was ignored";
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find("test.poison: detect_races needs"), std::string::npos)
        << error.what();
  }
}

}  // namespace
}  // namespace cucina
