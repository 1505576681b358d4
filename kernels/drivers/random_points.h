// Random points of a space of cases, and the smallest one that fails.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "core/random.h"
#include "kernels/common/case.h"

namespace cucina::drivers {

using Point = std::vector<std::int64_t>;  // one integer per axis
using Axes = std::span<const CaseSpace::Axis>;

// What a point is judged by: "" when it holds, else a sentence; nullopt where there is no such
// case.
using Judge = std::function<std::optional<std::string>(std::span<const std::int64_t> point)>;

// The number-th random point, legal or not. Long axes lean towards their low end, where the ragged
// and the single ones are.
Point random_point(Axes axes, const RandomStream& random, std::uint32_t number);

// A failing point such that lowering any one axis, to one of the values tried, makes it pass or
// leaves the space. `point` must fail.
//   source  Claessen & Hughes 2000, "QuickCheck", ICFP: shrink by trying smaller ones, greedily
Point shrink(Axes axes, Point point, const Judge& judge);

// What became of judging random points.
struct RandomRun {
  std::int64_t judged = 0;  // legal points
  Point smallest;           // the failing point, shrunk; empty when none failed
  std::string failure;      // its sentence, "" when none failed
};

// Judges `count` legal points in order and stops at the first that fails. A space in which fewer
// than one random point in a hundred is legal counts as a failure.
RandomRun judge_random_points(Axes axes, const RandomStream& random, std::int64_t count,
                              const Judge& judge);

// "n = 3, stride = 2"
std::string describe(Axes axes, std::span<const std::int64_t> point);

}  // namespace cucina::drivers
