// The random driver itself: what it draws, finds and shrinks to.
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <set>

#include "kernels/drivers/random_points.h"

namespace cucina::drivers {
namespace {

const std::array<CaseSpace::Axis, 3> kAxes{{{"n", 0, 3}, {"width", 1, 500}, {"stride", 1, 7}}};

// Legal where the width is at least the stride; fails for wide images, as a broken ragged tile
// would.
std::optional<std::string> planted(std::span<const std::int64_t> point) {
  const auto [n, width, stride] = std::array{point[0], point[1], point[2]};
  if (width < stride) return std::nullopt;
  return n >= 1 && width > 32 * stride && width % 4 != 0 ? "planted" : "";
}

TEST(Shrink, FindsTheSmallestFailingPoint) {
  const Point smallest = shrink(kAxes, {3, 431, 5}, planted);
  EXPECT_EQ(smallest, (Point{1, 33, 1})) << describe(kAxes, smallest);
}

TEST(Shrink, LeavesTheSmallestPointAlone) {
  EXPECT_EQ(shrink(kAxes, {1, 33, 1}, planted), (Point{1, 33, 1}));
}

TEST(Shrink, SkipsPointsOutsideTheSpace) {
  const auto legal_from_20 = [](std::span<const std::int64_t> point) {
    return point[1] < 20 ? std::nullopt : std::optional<std::string>("always");
  };
  EXPECT_EQ(shrink(kAxes, {2, 300, 4}, legal_from_20)[1], 20);
}

TEST(RandomPoints, APlantedFailureIsFoundAndShrunk) {
  const RandomRun run = judge_random_points(kAxes, RandomStream(1, "planted"), 200, planted);
  EXPECT_EQ(run.failure, "planted");
  EXPECT_EQ(run.smallest, (Point{1, 33, 1}));
  EXPECT_EQ(describe(kAxes, run.smallest), "n = 1, width = 33, stride = 1");
}

TEST(RandomPoints, AllOfThemAreLegalAndTheSameForASeed) {
  std::vector<Point> first, second;
  for (std::vector<Point>* seen : {&first, &second}) {
    const RandomRun run = judge_random_points(
        kAxes, RandomStream(7, "points"), 300,
        [seen](std::span<const std::int64_t> point) -> std::optional<std::string> {
          if (point[1] < point[2]) return std::nullopt;
          seen->emplace_back(point.begin(), point.end());
          return "";
        });
    EXPECT_EQ(run.judged, 300);
    EXPECT_EQ(run.failure, "");
  }
  EXPECT_EQ(first, second);
}

TEST(RandomPoints, ReachBothEndsOfEveryAxis) {
  std::array<std::set<std::int64_t>, 3> seen;
  for (std::uint32_t number = 0; number < 3000; ++number) {
    const Point point = random_point(kAxes, RandomStream(3, "ends"), number);
    for (std::size_t i = 0; i < kAxes.size(); ++i) {
      ASSERT_GE(point[i], kAxes[i].low);
      ASSERT_LE(point[i], kAxes[i].high);
      seen[i].insert(point[i]);
    }
  }
  for (const std::size_t i : {0u, 2u}) {
    EXPECT_EQ(static_cast<std::int64_t>(seen[i].size()), kAxes[i].high - kAxes[i].low + 1);
  }
  EXPECT_EQ(*seen[1].begin(), 1);
  EXPECT_GE(*seen[1].rbegin(), 495);
}

TEST(RandomPoints, ASpaceWithoutLegalPointsFails) {
  const RandomRun run =
      judge_random_points(kAxes, RandomStream(1, "none"), 5,
                          [](std::span<const std::int64_t>) { return std::nullopt; });
  EXPECT_EQ(run.failure, "only 0 of 500 random points are legal");
}

}  // namespace
}  // namespace cucina::drivers
