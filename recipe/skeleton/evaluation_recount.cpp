// Tip 3, add significant digits: what evaluate() reports is counted once more, example by example,
// and evaluating leaves everything as it was.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "recipe/check/check.h"
#include "recipe/check/samples.h"

namespace cucina::checks {
namespace {

constexpr double kRelative = 1e-5;  // f32 losses, averaged in f64 there and here

Measured recount(const Task& task) {
  Measured sum;
  task.validation(0, [&](const Batch& batch) {
    const Tensor outputs = evaluated(task, batch.inputs);
    for (const double loss : losses_of(task, outputs, batch.targets)) sum.loss += loss;
    if (has_labels(batch) && outputs.shape().rank() == 2) {
      const std::vector<std::int32_t> labels = batch.targets.to_vector<std::int32_t>();
      const std::vector<std::int32_t> predicted = predictions(outputs);
      for (std::size_t i = 0; i < labels.size(); ++i) sum.accuracy += labels[i] == predicted[i];
    }
    sum.n += batch.size();
    return true;
  });
  sum.loss /= static_cast<double>(sum.n);
  sum.accuracy /= static_cast<double>(sum.n);
  return sum;
}

// With the parameters as they are at first all outputs may be alike, and every way to count equal.
void train_a_little(const Task& task) {
  if (!task.step) return;
  task.model->train();
  for (const Batch& batch : batches(task.train, 10)) task.step(batch);
}

// Single examples against a batch: outputs must not depend on who else is in it.
Verdict batch_size(const Task& task) {
  const Batch batch = take(task.validation, 8);
  const std::vector<float> together = evaluated(task, batch.inputs).to_vector<float>();
  std::vector<float> alone;
  for (std::int64_t i = 0; i < batch.size(); ++i) {
    const std::vector<float> one =
        evaluated(task, batch.inputs.rows(i, i + 1).clone()).to_vector<float>();
    alone.insert(alone.end(), one.begin(), one.end());
  }
  double difference = 0, largest = 0;
  for (std::size_t i = 0; i < together.size(); ++i) {
    difference = std::max(difference, std::abs(double(together[i]) - alone[i]));
    largest = std::max(largest, std::abs(double(together[i])));
  }
  Verdict verdict{.outcome = Outcome::pass,
                  .found = "an example alone has the outputs it has in a batch (difference)",
                  .measured = difference,
                  .expected = 0,
                  .tolerance = 1e-4 * largest + 1e-6};
  if (difference <= verdict.tolerance) return verdict;
  verdict.outcome = Outcome::fail;
  verdict.reasons = {"depends-on-the-batch"};
  verdict.found = "an example's outputs depend on the batch it is evaluated in (difference)";
  verdict.hint = "look for statistics of the batch that are used while evaluating";
  return verdict;
}

Verdict traces(const Task& task, const std::string& before, const std::string& after) {
  if (before != after)
    return {
        .outcome = Outcome::fail,
        .reasons = {"evaluation-changes-state"},
        .found = "evaluating changes parameters, buffers, random state or the mode",
        .evidence = {fmt::format("fingerprint of {} before: {}", task.name, before.substr(0, 12)),
                     fmt::format("after: {}", after.substr(0, 12))},
        .hint =
            "evaluate in evaluation mode, and go back to the mode before: "
            "nn::ScopedEvaluation"};
  return {.outcome = Outcome::pass,
          .found = "evaluating changes nothing, and a recount gives the same"};
}

// Of numbers that a recount does not give: are they the same twice?
Verdict repeats(const Measured& first, const Measured& second) {
  const auto same = [](double a, double b) { return a == b || (std::isnan(a) && std::isnan(b)); };
  if (same(first.loss, second.loss) && same(first.accuracy, second.accuracy))
    return {.outcome = Outcome::pass, .found = "evaluating repeats"};
  return {
      .outcome = Outcome::fail,
      .reasons = {"evaluation-not-repeatable"},
      .found = "evaluating twice gives two results",
      .evidence = {fmt::format("losses {:.9g} and {:.9g}", first.loss, second.loss),
                   fmt::format("accuracies {:.6g} and {:.6g}", first.accuracy, second.accuracy)},
      .hint = "switch off what is random while evaluating: dropout, augmentation, sampling"};
}

Verdict run(const Task& task) {
  if (!task.evaluate || !task.validation) return skipped("there is no evaluation");
  train_a_little(task);
  const std::string before = Snapshot(task).fingerprint();
  const Snapshot start(task);
  const Measured first = task.evaluate();
  const std::string after = Snapshot(task).fingerprint();
  start.restore();
  Findings findings;
  findings.add(traces(task, before, after));
  findings.add(batch_size(task));
  const Measured counted = recount(task);
  Verdict verdict{
      .outcome = Outcome::pass,
      .found = "the reported loss is the mean of all examples'",
      .measured = first.loss,
      .expected = counted.loss,
      .tolerance = kRelative * std::abs(counted.loss) + 1e-6,
      .evidence = {
          fmt::format("accuracy {:.6g} reported, {:.6g} counted", first.accuracy, counted.accuracy),
          fmt::format("{} examples reported, {} counted", first.n, counted.n)}};
  const bool loss = std::abs(first.loss - counted.loss) <= verdict.tolerance;
  const bool accuracy =
      task.classes == 0 || std::abs(first.accuracy - counted.accuracy) < 0.5 / double(counted.n);
  if (!loss || !accuracy || first.n != counted.n) {
    verdict.outcome = Outcome::fail;
    verdict.reasons = {"recount-differs"};
    verdict.found = "the reported numbers are not those of the whole split (loss)";
    verdict.hint =
        "add up losses of examples, not means of batches, over the whole split, in "
        "evaluation mode";
    findings.add(repeats(first, task.evaluate()));
  }
  findings.add(verdict);
  return findings.verdict();
}

}  // namespace

Check evaluation_recount() {
  return {
      "evaluation_recount", "3: add significant digits",
      "After ten steps, counts loss and accuracy of the whole validation split again, example "
      "by example in f64, and\ncompares with what evaluate() reports: 1e-5 of the loss, not one "
      "example of the accuracy, and the same n. So it\nsees means of batch means, a last batch "
      "that stands for all, and training mode. Evaluating must "
      "leave parameters, buffers, random state and mode\nalone, and where the counts differ it is "
      "told "
      "whether it repeats. Eight examples alone must "
      "have the\noutputs they have together.\nSource: Karpathy 2019, \"add significant digits\".",
      &run};
}

}  // namespace cucina::checks
