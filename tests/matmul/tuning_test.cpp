// The cache of measured choices: what is measured once, what another process reads, and when
// nothing is measured.
#include "kernels/common/tuning.h"

#include <gtest/gtest.h>

#include <array>
#include <fstream>

namespace cucina {
namespace {

constexpr std::array<std::string_view, 3> kNames{"small", "medium", "large"};

std::filesystem::path empty_folder(const char* name) {
  const auto folder = std::filesystem::path(::testing::TempDir()) / name;
  std::filesystem::remove_all(folder);
  return folder;
}

TEST(TuningCache, KnowsTheFastestOnceItIsMeasured) {
  TuningCache cache({});
  EXPECT_EQ(cache.find("8x8", kNames), std::nullopt);
  const std::array<double, 3> seconds{3e-6, 1e-6, 2e-6};
  EXPECT_EQ(cache.measure("8x8", kNames, [&](std::size_t i) { return seconds[i]; }), 1u);
  EXPECT_EQ(cache.find("8x8", kNames), 1u);
  EXPECT_EQ(cache.find("9x9", kNames), std::nullopt);
}

TEST(TuningCache, AnotherProcessReadsItFromTheFile) {
  const auto file = empty_folder("tuning_reads") / "deeper" / "gpu.tsv";
  TuningCache(file).measure("8x8", kNames,
                            [](std::size_t i) { return 3.0 - static_cast<double>(i); });
  EXPECT_EQ(TuningCache(file).find("8x8", kNames), 2u);
}

TEST(TuningCache, TheLastLineOfAQuestionCountsAndOthersArePassedOver) {
  const auto folder = empty_folder("tuning_lines");
  std::filesystem::create_directories(folder);
  std::ofstream(folder / "gpu.tsv") << "8x8\tsmall\nno tab\n\n9x9\tgone\n8x8\tlarge\n10x10\tmed";
  TuningCache cache(folder / "gpu.tsv");
  EXPECT_EQ(cache.find("8x8", kNames), 2u);
  EXPECT_EQ(cache.find("9x9", kNames), std::nullopt) << "no candidate of today";
  EXPECT_EQ(cache.find("10x10", kNames), std::nullopt) << "a line cut short";
  EXPECT_EQ(cache.find("no tab", kNames), std::nullopt);
}

TEST(TuningCache, AFileThatCannotBeWrittenIsNoFailure) {
  TuningCache cache("/dev/null/gpu.tsv");
  EXPECT_EQ(cache.measure("8x8", kNames, [](std::size_t) { return 1.0; }), 0u);
  EXPECT_EQ(cache.find("8x8", kNames), 0u);
}

TEST(TunedChoice, OnTheCpuNothingIsMeasured) {
  const auto never = [](std::size_t) { ADD_FAILURE() << "ran a candidate"; };
  EXPECT_EQ(tuned_choice("8x8", kNames, 1, Stream(), never), 1u);
  const ScopedCandidate forced("large");
  EXPECT_EQ(tuned_choice("8x8", kNames, 1, Stream(), never), 2u);
  {
    const ScopedCandidate unknown("huge");
    EXPECT_EQ(tuned_choice("8x8", kNames, 1, Stream(), never), 1u);
  }
  EXPECT_EQ(tuned_choice("8x8", kNames, 1, Stream(), never), 2u);
}

}  // namespace
}  // namespace cucina
