// Tip 17, do not trust learning rate decay defaults: what the schedule does over the whole training
// is looked at before it begins.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "recipe/check/check.h"

namespace cucina::checks {
namespace {

constexpr double kLeastMean =
    0.25;  // of the highest: cosine and linear have 0.5, x0.1 at a third 0.4
constexpr double kLeastPeak = 0.5;  // of the rate that is meant
constexpr double kDead = 0.01;
constexpr double kMostDead = 0.25;  // of the training

Verdict run(const Task& task) {
  if (!task.schedule || task.total_steps < 1) return skipped("there is no schedule");
  double peak = 0, sum = 0;
  std::int64_t peak_at = 0;
  for (std::int64_t step = 0; step < task.total_steps; ++step) {
    const double rate = task.schedule(step);
    sum += rate;
    if (rate > peak) peak = rate, peak_at = step;
  }
  std::int64_t dead = 0, first_dead = -1;
  for (std::int64_t step = peak_at; step < task.total_steps; ++step) {
    if (task.schedule(step) >= kDead * peak) continue;
    if (first_dead < 0) first_dead = step;
    ++dead;
  }
  const auto steps = static_cast<double>(task.total_steps);
  const double meant = task.learning_rate > 0 ? task.learning_rate : peak;
  Verdict verdict{.outcome = Outcome::pass,
                  .found = "the learning rate's mean over its highest",
                  .measured = sum / steps / meant};
  for (const int percent : {0, 10, 25, 50, 75, 100})
    verdict.evidence.push_back(fmt::format("{} %: {:.4g}", percent,
                                           task.schedule((task.total_steps - 1) * percent / 100)));
  const auto fails = [&](const char* reason, std::string found, const char* hint) {
    verdict.outcome = Outcome::fail;
    verdict.reasons = {reason};
    verdict.found = std::move(found);
    verdict.hint = hint;
  };
  if (!(peak >= kLeastPeak * meant)) {
    verdict.measured = peak / meant;
    fails(
        "never-warm", "the learning rate never comes near the one that is meant (highest over it)",
        "the warm-up is longer than the training: is it counted in epochs where steps are meant?");
  } else if (dead > kMostDead * steps) {
    fails("dies-early",
          fmt::format("the learning rate is under 1 % of its highest from step {} of {} on (mean)",
                      first_dead, task.total_steps),
          "the schedule ends too early: is it stepped per batch where per epoch is meant?");
  } else if (verdict.measured < kLeastMean) {
    fails("dies-early", "the learning rate's mean is far below its highest (ratio)",
          "the schedule ends too early: is it stepped per batch where per epoch is meant?");
  } else if (task.decays && task.schedule(task.total_steps - 1) > 0.99 * peak) {
    verdict.outcome = Outcome::warn;
    verdict.reasons = {"never-falls"};
    verdict.found = "a decay is meant but the rate never falls (mean over highest)";
    verdict.hint = "its first step is after the end of the training: give it in steps of this one";
  }
  return verdict;
}

}  // namespace

Check schedule_audit() {
  return {"schedule_audit", "17: do not trust learning rate decay defaults",
          "Evaluates the schedule at every step of the training. The highest rate must come within "
          "half of the one that is\nmeant, the mean must be at least a quarter of it, and the rate "
          "must not spend a quarter of the training under 1 %\nof its highest. A decay that never "
          "begins is warned of. The evidence lists the rate along the way.\nSource: Karpathy 2019, "
          "\"do not trust learning rate decay defaults\": rates that fall to 0 too early.",
          &run};
}

}  // namespace cucina::checks
