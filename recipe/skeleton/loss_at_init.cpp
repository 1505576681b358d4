// Tip 4, verify loss at init: the first loss is the number that the declared loss must give, to its
// last digits.
#include <fmt/format.h>

#include <cmath>

#include "recipe/check/check.h"
#include "recipe/check/declared_loss.h"
#include "recipe/check/samples.h"

namespace cucina::checks {
namespace {

constexpr std::int64_t kExamples = 64;
// Of f32 sums of some tens of numbers; what is wrong differs in the first digits.
constexpr double kRelative = 1e-4;

bool near(double a, double b) { return std::abs(a - b) <= 1e-3 * std::abs(b); }

struct Diagnosis {
  const char* reason;
  std::string found;
  const char* hint;
};

// What a ratio of measured and expected loss means.
Diagnosis diagnose(const Task& task, const Tensor& outputs, double measured, double expected) {
  const auto n = static_cast<double>(outputs.size(0));
  const double ratio = measured / expected;
  const auto values = static_cast<double>(outputs.elements());
  if (!std::isfinite(measured))
    return {"not-finite", "the first loss is no number",
            "look for a logarithm of 0 or an exponential that overflows in the loss"};
  if (near(ratio, n) || (task.classes == 0 && near(ratio, values)))
    return {"sum-for-mean",
            fmt::format("the loss is {:g} times what it should be: the batch size", n),
            "the loss sums over the batch where a mean is declared: divide by the batch size"};
  if (near(ratio, 1 / n))
    return {"mean-for-sum", "the loss is one batch size too small",
            "the loss is a mean where a sum is declared"};
  if (near(ratio, -1))
    return {"wrong-sign", "the loss has the wrong sign",
            "the loss must grow with the error: drop the minus"};
  if (task.classes > 0 && measured < 0)
    return {"probabilities-for-log", "the first loss is negative",
            "a negative log-likelihood was given probabilities: give it their logarithms"};
  for (const double factor : {0.001, 0.01, 0.1, 0.5, 2.0, 10.0, 100.0, 1000.0}) {
    if (near(ratio, factor))
      return {"scaled", fmt::format("the loss is {:g} times what it should be", ratio),
              "a constant multiplies the loss: remove it, or change the learning rate instead"};
  }
  return {"not-the-declared-loss", fmt::format("the loss is {:.4g} times what is declared", ratio),
          "the loss is another than declared: compare its kind, smoothing, weights and reduction"};
}

Verdict run(const Task& task) {
  if (task.declared.kind == LossKind::other)
    return skipped("the loss is declared as other than those whose value is known");
  const Batch batch = take(task.train, kExamples);
  const Tensor outputs = evaluated(task, batch.inputs);
  const double measured = loss_of(task, outputs, batch.targets);
  const double expected = declared_loss(task.declared, outputs, batch.targets);
  const double guess = constant_guess(task.declared, batch.targets, task.classes);
  const double tolerance = kRelative * std::abs(expected) + 1e-6 * guess;
  Verdict verdict{.outcome = Outcome::pass,
                  .found = "the loss at init is the declared loss",
                  .measured = measured,
                  .expected = expected,
                  .tolerance = tolerance};
  verdict.evidence = {fmt::format("the best constant guess has {:.5g}", guess)};
  if (std::abs(measured - expected) <= tolerance) return verdict;
  const Diagnosis diagnosis = diagnose(task, outputs, measured, expected);
  verdict.outcome = Outcome::fail;
  verdict.reasons = {diagnosis.reason};
  verdict.found = diagnosis.found;
  verdict.hint = diagnosis.hint;
  verdict.evidence.push_back(
      fmt::format("{} examples, outputs {}", batch.size(), to_string(outputs.shape())));
  return verdict;
}

}  // namespace

Check loss_at_init() {
  return {"loss_at_init", "4: verify loss at init",
          "Computes the declared loss (its kind, smoothing, weights, mean or sum) of the network's "
          "first outputs\nonce more, in f64 and from its definition, and compares it with what the "
          "task's loss returns: two-sided, to\n1e-4 of it. A ratio that equals the batch size, its "
          "inverse, -1 or a power of ten names the cause; a\nnegative cross entropy is a "
          "likelihood without its logarithm.\nSource: Karpathy 2019, \"verify loss @ init\"; here "
          "without assuming that the last layer starts at zero.",
          &run};
}

}  // namespace cucina::checks
