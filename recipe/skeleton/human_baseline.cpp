// Tip 6, human baseline: how well two people agree is a ceiling for any model's accuracy.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "core/error.h"
#include "recipe/check/check.h"
#include "recipe/check/people.h"

namespace cucina::checks {

Agreement agreement_of(std::span<const std::int32_t> a, std::span<const std::int32_t> b) {
  if (a.size() != b.size() || a.empty())
    fail("human baseline: {} and {} labels; give two of every example", a.size(), b.size());
  const auto [least, most] = std::minmax_element(a.begin(), a.end());
  const auto [least_b, most_b] = std::minmax_element(b.begin(), b.end());
  if (std::min(*least, *least_b) < 0) fail("human baseline: a label is negative");
  const auto classes = static_cast<std::size_t>(std::max(*most, *most_b)) + 1;
  std::vector<double> of_a(classes), of_b(classes);
  const auto n = static_cast<double>(a.size());
  Agreement result{.n = static_cast<std::int64_t>(a.size())};
  for (std::size_t i = 0; i < a.size(); ++i) {
    result.share += a[i] == b[i];
    of_a[static_cast<std::size_t>(a[i])] += 1 / n;
    of_b[static_cast<std::size_t>(b[i])] += 1 / n;
  }
  result.share /= n;  // a sum of shares would not be exactly 1
  double by_chance = 0;
  for (std::size_t k = 0; k < classes; ++k) by_chance += of_a[k] * of_b[k];
  result.error = std::sqrt(result.share * (1 - result.share) / n);
  result.kappa = by_chance < 1 ? (result.share - by_chance) / (1 - by_chance) : 0;
  result.kappa_error = by_chance < 1 ? result.error / (1 - by_chance) : 0;
  return result;
}

namespace {

Verdict run(const Task& task) {
  if (task.first_annotation.empty()) return skipped("no two people's labels are given");
  const Agreement both = agreement_of(task.first_annotation, task.second_annotation);
  Verdict verdict{.outcome = Outcome::pass,
                  .found = "two people agree (Cohen's kappa)",
                  .measured = both.kappa,
                  .tolerance = both.kappa_error};
  verdict.evidence = {
      fmt::format("{:.4f} ± {:.4f} of {} examples; no model is known to be better "
                  "than that",
                  both.share, both.error, both.n)};
  if (both.share == 1) {
    verdict.outcome = Outcome::warn;
    verdict.reasons = {"same-annotation"};
    verdict.found = "two people agree on every example (Cohen's kappa)";
    verdict.hint = "is the same file given twice?";
  } else if (both.kappa < 3 * both.kappa_error) {
    verdict.outcome = Outcome::fail;
    verdict.reasons = {"no-agreement"};
    verdict.found = "two people agree no more than by chance (Cohen's kappa)";
    verdict.hint = "the files are of other examples, or one is off by a row";
  } else if (task.model_accuracy > both.share + 3 * both.error) {
    verdict.outcome = Outcome::warn;
    verdict.reasons = {"above-people"};
    verdict.found = "the model is better than people agree: suspiciously good (its accuracy)";
    verdict.measured = task.model_accuracy;
    verdict.expected = both.share;
    verdict.tolerance = 3 * both.error;
    verdict.hint = "look for validation examples in training";
  }
  return verdict;
}

}  // namespace

Check human_baseline() {
  return {
      "human_baseline", "6: human baseline",
      "Of two people's labels of the same examples: the share that agrees, with its standard "
      "error, and Cohen's kappa,\nwhich is 0 for agreement by chance. Kappa within three errors "
      "of 0 fails, full agreement is warned of, and so is a\nmodel that is better than people "
      "agree by three errors.\nSource: Karpathy 2019, \"human baseline\"; Cohen 1960.",
      &run};
}

}  // namespace cucina::checks
