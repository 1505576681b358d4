// Tip 9, verify decreasing training loss: a network of twice the width must fit the training data
// better with the same number of steps.
#include <fmt/format.h>

#include <cmath>

#include "recipe/check/check.h"
#include "recipe/check/samples.h"

namespace cucina::checks {
namespace {

constexpr int kSeeds = 3;
constexpr std::int64_t kSteps = 50;
constexpr std::int64_t kExamples = 256;

double trained(const Task& task, double width, std::uint64_t seed) {
  const std::shared_ptr<Task> twin = task.widened(width, seed);
  twin->model->train();
  std::int64_t steps = 0;
  for (std::int64_t epoch = 0; steps < kSteps; ++epoch) {
    const std::int64_t before = steps;
    twin->train(epoch, [&](const Batch& batch) {
      twin->step(batch);
      return ++steps < kSteps;
    });
    if (steps == before) break;
  }
  const Batch seen = take(twin->plain ? twin->plain : twin->train, kExamples);
  return loss_of(*twin, evaluated(*twin, seen.inputs), seen.targets);
}

Verdict run(const Task& task) {
  if (!task.widened) return skipped("the task cannot be made wider");
  std::vector<double> ratios;
  Verdict verdict{.outcome = Outcome::pass,
                  .found = "twice the width fits better (ratio of losses)",
                  .expected = kNoNumber};
  for (int seed = 1; seed <= kSeeds; ++seed) {
    const double narrow = trained(task, 1, seed), wide = trained(task, 2, seed);
    ratios.push_back(wide / narrow);
    verdict.evidence.push_back(fmt::format("seed {}: {:.4g} and {:.4g}", seed, narrow, wide));
  }
  const Moments ratio = moments(ratios);
  verdict.measured = ratio.mean;
  verdict.tolerance = ratio.error;
  if (ratio.mean < 1) return verdict;
  const bool clear = ratio.mean - 1 > 2 * ratio.error;
  verdict.outcome = clear ? Outcome::fail : Outcome::inconclusive;
  verdict.reasons = {clear ? "width-does-not-help" : "cannot-tell"};
  verdict.found = "twice the width does not fit better (ratio of losses)";
  verdict.hint = "is the new part registered, and given to the optimiser?";
  return verdict;
}

}  // namespace

Check decreasing_loss() {
  return {
      "decreasing_loss", "9: verify decreasing training loss",
      "Trains the task at its width and at twice its width, 50 steps each from three seeds. The "
      "mean ratio of training\nlosses must be below 1 (0.66 to 0.90 on healthy tasks); above 1 "
      "by two standard errors it fails.\nSource: Karpathy 2019, \"verify decreasing training "
      "loss\".",
      &run};
}

}  // namespace cucina::checks
