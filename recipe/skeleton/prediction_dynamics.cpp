// Tip 11, visualise prediction dynamics: how predictions on a fixed batch move from step to step.
#include <fmt/format.h>

#include <cmath>

#include "core/autograd.h"
#include "recipe/check/check.h"
#include "recipe/check/dynamics.h"
#include "recipe/check/samples.h"

namespace cucina::checks {
namespace {

constexpr std::int64_t kExamples = 64;
constexpr std::int64_t kUpdates = 25;
// Mean total-variation distance per update at Adam's 1e-5: 0.0002, 1e-3: 0.016, 1e-1: 0.074.
constexpr double kFrozen = 1e-6;
constexpr double kJittery = 0.35;  // SGD at 0.1 with momentum starts at 0.2 and is healthy

Verdict run(const Task& task) {
  if (!task.step || task.classes < 2) return skipped("there is no step, or there are no classes");
  const Batch fixed = take(task.validation ? task.validation : task.train, kExamples);
  const Dynamics seen = record_dynamics(task, fixed.inputs, kUpdates);
  Verdict verdict{.outcome = Outcome::pass,
                  .found = "predictions move smoothly (distance per update)",
                  .measured = seen.jitter,
                  .evidence = {fmt::format("{} examples, {} updates: {:.3g} from first to last, {} "
                                           "predicted classes changed",
                                           fixed.size(), kUpdates, seen.travel, seen.flips)}};
  double rates = 1;
  if (task.schedule && task.learning_rate > 0) {
    rates = 0;
    for (std::int64_t i = 0; i < kUpdates; ++i)
      rates += task.schedule(i * task.steps_per_update) / task.learning_rate / double(kUpdates);
  }
  if (!std::isfinite(seen.jitter)) {
    verdict.outcome = Outcome::fail;
    verdict.reasons = {"not-finite"};
    verdict.found = "predictions become no numbers";
    verdict.hint = "lower the learning rate";
  } else if (seen.jitter < kFrozen * std::min(1.0, rates)) {
    verdict.outcome = Outcome::fail;
    verdict.reasons = {"frozen"};
    verdict.found = "predictions do not move (distance per update)";
    verdict.hint = "raise the learning rate, or see step_audit";
  } else if (seen.jitter > kJittery) {
    verdict.outcome = Outcome::warn;
    verdict.reasons = {"jittery"};
    verdict.found = "predictions jump about (distance per update)";
    verdict.hint = "lower the learning rate";
  }
  return verdict;
}

}  // namespace

Check prediction_dynamics() {
  return {"prediction_dynamics", "11: visualise prediction dynamics",
          "Follows the predicted probabilities of 64 fixed examples over 25 updates. The mean "
          "total-variation distance from\none update to the next must be above 1e-6, else nothing "
          "learns; above 0.35 it is warned that predictions jump\nabout. record_dynamics() gives "
          "all of the numbers, to plot.\nSource: Karpathy 2019, \"visualize prediction dynamics\".",
          &run};
}

}  // namespace cucina::checks
