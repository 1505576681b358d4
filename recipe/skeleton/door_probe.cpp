// Tip 10 and stage 1: do labels belong to the inputs that they are delivered with? Asked of nearest
// neighbours and of single numbers, without a network.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "recipe/check/check.h"
#include "recipe/check/neighbours.h"
#include "recipe/check/samples.h"

namespace cucina::checks {
namespace {

constexpr std::int64_t kReferences = 1500;
constexpr std::int64_t kQueries = 300;
constexpr std::int64_t kFew = 100;
constexpr double kClear = 4;  // standard errors
// Where the nearest is this near to being as far as any, neighbours mean nothing: so it is with
// noise of many dimensions, whose distances are all alike.
constexpr double kNoContrast = 0.7;
constexpr double kLeak = 0.5;  // of the way from chance to certainty

bool out_of_range(const Rows& rows, int classes) {
  return std::any_of(rows.labels.begin(), rows.labels.end(),
                     [&](std::int32_t label) { return label < 0 || label >= classes; });
}

struct Probe {
  double value = 0;  // accuracy, or correlation
  double error = 0;
  std::int64_t n = 0;
};

Probe probe(const Rows& from, const Rows& among, bool itself) {
  const auto neighbour = nearest(from, kQueries, among, itself);
  Probe result{.value = agreement(from, among, neighbour),
               .n = static_cast<std::int64_t>(neighbour.size())};
  const double p = std::clamp(result.value, 0.02, 0.98);
  result.error = std::sqrt((from.labels.empty() ? 1 : p * (1 - p)) / double(result.n));
  return result;
}

void compare(const Task& task, const Rows& train, const Rows& validation, Findings* findings) {
  const bool labels = !train.labels.empty();
  const double chance = labels ? chance_agreement(train, task.classes) : 0;
  const Probe own = probe(train, train, true);
  const double at_chance = std::sqrt((labels ? chance * (1 - chance) : 1) / double(own.n));
  Verdict verdict{.outcome = Outcome::pass,
                  .found = labels ? "nearest neighbours have the same label (share)"
                                  : "nearest neighbours have close targets (correlation)",
                  .measured = own.value,
                  .expected = kNoNumber};
  verdict.evidence = {
      fmt::format("training {:.3f} ± {:.3f}, chance {:.3f}", own.value, own.error, chance)};
  const double contrast = distance_contrast(train);
  const bool at_chance_level = own.value < chance + kClear * at_chance;
  if (task.informative && own.n >= kFew && at_chance_level && contrast > kNoContrast)
    findings->add({.outcome = Outcome::inconclusive,
                   .reasons = {"no-neighbours"},
                   .found = "all examples are about as far from each other, so neighbours tell "
                            "nothing of labels (nearest distance over the mean)",
                   .measured = contrast});
  else if (task.informative && own.n >= kFew && at_chance_level)
    findings->add(
        failed("labels-at-chance",
               "training labels have nothing to do with their inputs (neighbours' agreement)",
               "inputs and labels are out of step: look at the reader and "
               "at every place that permutes one of them",
               own.value, chance));
  if (validation.n > 0) {
    const Probe other = probe(validation, train, false);
    verdict.evidence.push_back(fmt::format("validation {:.3f} ± {:.3f}", other.value, other.error));
    const double apart = other.value - own.value;
    const double error = std::hypot(own.error, other.error);
    if (other.n >= kFew && apart < -kClear * error - 0.05)
      findings->add(failed("validation-labels-differ",
                           "validation labels mean something else than training labels (agreement)",
                           "look for another order of classes, or labels that "
                           "moved against their inputs, in one split",
                           other.value, own.value));
    if (other.n >= kFew && apart > kClear * error + 0.05)
      findings->add(failed("training-labels-noisy",
                           "many training labels are wrong (agreement, validation's expected)",
                           "look at the training labels: cucina inspect", own.value, other.value));
  }
  findings->add(verdict);
}

Verdict run(const Task& task) {
  const Rows train = rows_of(task.plain ? task.plain : task.train, kReferences);
  Rows validation;
  if (task.validation) validation = rows_of(task.validation, kQueries);
  if (out_of_range(train, task.classes) || out_of_range(validation, task.classes))
    return failed("label-out-of-range", "there are labels that are no class",
                  "labels count from 0");
  Findings findings;
  compare(task, train, validation, &findings);
  if (!train.labels.empty() && train.d >= 16 && train.n >= kFew) {
    const double chance = majority(train, task.classes);
    const BestInput best = best_input(train, task.classes);
    const double most = chance + kLeak * (1 - chance);
    if (best.accuracy > most) {
      Verdict leak =
          failed("label-in-the-input", "a single number of the input tells the label (accuracy)",
                 "remove what writes the label into the input", best.accuracy, chance);
      leak.evidence = {fmt::format("number {} of {}", best.position, train.d)};
      findings.add(leak);
    }
  }
  return findings.verdict();
}

}  // namespace

Check door_probe() {
  return {
      "door_probe", "10: visualise just before the net; stage 1",
      "Looks for the nearest neighbour of 300 training examples among 1,500 others, and of 300 "
      "validation examples too.\nNeighbours' labels must agree more often than chance (4 "
      "standard errors), and as often in both splits: less often\nin validation, its labels "
      "mean something else; more often, training labels are noisy. No single number of an\ninput "
      "may tell the label half-way from chance to certainty.",
      &run};
}

}  // namespace cucina::checks
