// Correct kernels pass every check under every schedule, and compute what they do unchecked.
#include <gtest/gtest.h>

#include "core/error.h"
#include "kernels/simt/options.h"
#include "tests/simt/correct_kernels.h"

namespace cucina {
namespace {

TEST(Silence, correct_kernels_pass_all_checks_under_every_schedule) {
  for (const CorrectKernel& kernel : correct_kernels()) {
    const std::vector<float> unchecked = kernel.run();
    for (const auto schedule :
         {simt::Schedule::forward, simt::Schedule::reverse, simt::Schedule::shuffled}) {
      const simt::ScopedOptions options(
          {.schedule = schedule, .seed = 5, .poison_shared = true, .detect_races = true});
      try {
        EXPECT_EQ(kernel.run(), unchecked) << kernel.name;
      } catch (const Error& error) {
        ADD_FAILURE() << kernel.name << ": " << error.what();
      }
    }
  }
}

}  // namespace
}  // namespace cucina
