// Tip 28, early stopping: the weights that a stopped training returns are those it recorded as its
// best.
#include <fmt/format.h>

#include <cmath>

#include "recipe/check/check.h"

namespace cucina::checks {
namespace {

constexpr double kRelative = 1e-5;

Verdict run(const Task& task) {
  if (!task.train_to_best || !task.evaluate) return skipped("there is no early stopping");
  const Stopped stopped = task.train_to_best();
  const Measured now = task.evaluate();
  Verdict verdict{.outcome = Outcome::pass,
                  .found = "a stopped training returns the weights of its best validation (loss)",
                  .measured = now.loss,
                  .expected = stopped.best.loss,
                  .tolerance = kRelative * std::abs(stopped.best.loss) + 1e-6};
  if (std::abs(now.loss - stopped.best.loss) <= verdict.tolerance) {
    if (!stopped.at_the_end) return verdict;
    verdict.outcome = Outcome::inconclusive;
    verdict.reasons = {"best-was-last"};
    verdict.found = "the best validation was the last, so nothing had to be brought back (loss)";
    return verdict;
  }
  verdict.outcome = Outcome::fail;
  verdict.reasons = {"not-the-best"};
  verdict.found = "a stopped training returns other weights than those of its best validation";
  verdict.hint =
      "keep a copy of the weights (and buffers) of the best validation and restore it at the end; "
      "watch the validation loss";
  return verdict;
}

}  // namespace

Check early_stopping() {
  return {
      "early_stopping", "28: early stopping",
      "Lets the task train a little with its own early stopping, and evaluates the weights that "
      "it returns: the loss must\nbe the one it recorded as its best, to 1e-5. Where the last "
      "validation was the best it cannot tell.\nSource: Karpathy 2019, \"early stopping\".",
      &run};
}

}  // namespace cucina::checks
