// Drawing, judging and shrinking points of a space of cases.
#include "kernels/drivers/random_points.h"

#include <fmt/core.h>

namespace cucina::drivers {
namespace {

constexpr std::int64_t kShortAxis =
    8;  // switches and small enumerations: each value equally likely

// Smaller values of an axis, the smallest first: the lowest ones one by one, then ever nearer.
Point lower_values(std::int64_t low, std::int64_t value) {
  constexpr std::int64_t kOneByOne = 16;
  Point values;
  for (std::int64_t v = low; v < value && v < low + kOneByOne; ++v) values.push_back(v);
  for (std::int64_t step = (value - low) / 2; step > 0; step /= 2) {
    if (value - step >= low + kOneByOne) values.push_back(value - step);
  }
  return values;
}

}  // namespace

Point random_point(Axes axes, const RandomStream& random, std::uint32_t number) {
  Point point;
  for (const CaseSpace::Axis& axis : axes) {
    const std::int64_t values = axis.high - axis.low + 1;
    const double u = random.uniform(number, point.size());
    const double where = values <= kShortAxis ? u : u * u;
    point.push_back(axis.low + static_cast<std::int64_t>(where * static_cast<double>(values)));
  }
  return point;
}

Point shrink(Axes axes, Point point, const Judge& judge) {
  for (bool shrunk = true; shrunk;) {
    shrunk = false;
    for (std::size_t i = 0; i < axes.size(); ++i) {
      for (const std::int64_t value : lower_values(axes[i].low, point[i])) {
        Point smaller = point;
        smaller[i] = value;
        if (judge(smaller).value_or("").empty()) continue;
        point = smaller;
        shrunk = true;
        break;
      }
    }
  }
  return point;
}

RandomRun judge_random_points(Axes axes, const RandomStream& random, std::int64_t count,
                              const Judge& judge) {
  RandomRun run;
  for (std::int64_t number = 0; run.judged < count; ++number) {
    if (number >= 100 * count) {
      run.failure = fmt::format("only {} of {} random points are legal", run.judged, number);
      return run;
    }
    const Point point = random_point(axes, random, static_cast<std::uint32_t>(number));
    const std::optional<std::string> verdict = judge(point);
    if (!verdict.has_value()) continue;
    ++run.judged;
    if (verdict->empty()) continue;
    run.smallest = shrink(axes, point, judge);
    run.failure = judge(run.smallest).value_or("");
    return run;
  }
  return run;
}

std::string describe(Axes axes, std::span<const std::int64_t> point) {
  std::string text;
  for (std::size_t i = 0; i < axes.size(); ++i) {
    text += fmt::format("{}{} = {}", i > 0 ? ", " : "", axes[i].name, point[i]);
  }
  return text;
}

}  // namespace cucina::drivers
