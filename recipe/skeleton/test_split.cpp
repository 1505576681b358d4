// Tip 3: the test split is for the end; nothing that trains, evaluates or chooses reads it.
#include <fmt/format.h>

#include "recipe/check/check.h"
#include "recipe/check/samples.h"

namespace cucina::checks {
namespace {

Verdict run(const Task& task) {
  if (!task.test_reads) return skipped("nobody counts how often the test split is read");
  Findings findings;
  const auto watch = [&](const char* who, const auto& what) {
    const std::int64_t before = task.test_reads();
    what();
    const std::int64_t reads = task.test_reads() - before;
    if (reads > 0)
      findings.add(failed("test-split-read", fmt::format("{} reads the test split (times)", who),
                          "choose and stop by the validation; the test split is read once, at the "
                          "end",
                          static_cast<double>(reads), 0));
  };
  if (task.step) watch("a training step", [&] { task.step(batches(task.train, 1).front()); });
  if (task.evaluate) watch("the validation", [&] { task.evaluate(); });
  if (task.train_to_best) watch("early stopping", [&] { task.train_to_best(); });
  findings.add({.outcome = Outcome::pass,
                .found = "training and choosing leave the test split alone (reads)",
                .measured = 0,
                .expected = 0});
  return findings.verdict();
}

}  // namespace

Check test_split() {
  return {
      "test_split", "3: add significant digits; 31: hyper-parameter optimisation",
      "Counts how often the test split is read (counted() does it) while the task makes a step, "
      "evaluates, and trains\nwith its early stopping: never. What is chosen on the test split "
      "is no estimate any more.",
      &run};
}

}  // namespace cucina::checks
