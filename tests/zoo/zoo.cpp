// Judges rows and healthy runs.
#include "tests/zoo/zoo.h"

#include <algorithm>
#include <chrono>

namespace cucina::zoo {
namespace {

double seconds_of(const std::vector<checks::Result>& results) {
  double sum = 0;
  for (const checks::Result& each : results) sum += each.verdict.seconds;
  return sum;
}

}  // namespace

std::vector<std::string> alarms(const std::vector<checks::Result>& results) {
  std::vector<std::string> fired;
  for (const checks::Result& each : results) {
    if (each.verdict.outcome < checks::Outcome::warn) continue;
    for (const std::string& reason : each.verdict.reasons)
      fired.push_back(each.check + ":" + reason);
  }
  return fired;
}

Judged judge(const Row& row, std::uint64_t seed, const std::vector<checks::Check>& checks) {
  const Fixture fixture({.fixture = row.fixture, .bug = row.id, .seed = seed});
  const std::vector<checks::Result> results = checks::run_checks(checks, fixture.task());
  Judged judged{.row = row, .fired = alarms(results), .seconds = seconds_of(results)};
  const bool right = std::any_of(row.right.begin(), row.right.end(), [&](const std::string& each) {
    return std::find(judged.fired.begin(), judged.fired.end(), each) != judged.fired.end();
  });
  judged.caught = right ? Catch::right : judged.fired.empty() ? Catch::missed : Catch::wrong_reason;
  return judged;
}

Silence listen(const Healthy& healthy, std::uint64_t seed,
               const std::vector<checks::Check>& checks) {
  const Fixture fixture({.fixture = healthy.fixture, .trap = healthy.trap, .seed = seed});
  const std::vector<checks::Result> results = checks::run_checks(checks, fixture.task());
  return {.name = healthy.trap.empty() ? healthy.fixture : healthy.fixture + " " + healthy.trap,
          .seed = seed,
          .alarms = alarms(results),
          .seconds = seconds_of(results)};
}

std::int64_t necessary_for(std::string_view check, const std::vector<Judged>& all) {
  const std::string prefix = std::string(check) + ":";
  return std::count_if(all.begin(), all.end(), [&](const Judged& each) {
    return !each.fired.empty() &&
           std::all_of(each.fired.begin(), each.fired.end(),
                       [&](const std::string& fired) { return fired.starts_with(prefix); });
  });
}

double median(std::vector<double> values) {
  if (values.empty()) return 0;
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

}  // namespace cucina::zoo
