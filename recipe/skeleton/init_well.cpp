// Tip 5, init well: the network starts by predicting how frequent classes are, or the targets'
// mean.
#include <fmt/format.h>

#include <cmath>

#include "recipe/check/check.h"
#include "recipe/check/declared_loss.h"
#include "recipe/check/samples.h"

namespace cucina::checks {
namespace {

constexpr std::int64_t kExamples = 512;
// Of the entropy of labels: what a last layer wastes that was not told the classes' frequencies.
constexpr double kMostExcess = 0.25;
// Where classes are as good as equally frequent, only a layer far from that does: one at random
// behind activations of He's scale wastes up to 0.4.
constexpr double kMostWhenEven = 1;
constexpr double kEven = 0.1;  // of the entropy: how far labels may be from equal frequencies

// Kullback-Leibler divergence of two distributions.
double divergence(const std::vector<double>& p, const std::vector<double>& q) {
  double sum = 0;
  for (std::size_t k = 0; k < p.size(); ++k) {
    if (p[k] > 0) sum += p[k] * std::log(p[k] / std::max(q[k], 1e-12));
  }
  return sum;
}

// The mean of the predicted probabilities of each class.
std::vector<double> mean_probabilities(const Tensor& outputs) {
  const std::vector<double> z = outputs.to_vector<double>();
  const auto n = static_cast<std::size_t>(outputs.size(0));
  const auto classes = static_cast<std::size_t>(outputs.size(1));
  std::vector<double> mean(classes);
  for (std::size_t i = 0; i < n; ++i) {
    const double* row = z.data() + i * classes;
    double total = 0, largest = row[0];
    for (std::size_t k = 0; k < classes; ++k) largest = std::max(largest, row[k]);
    for (std::size_t k = 0; k < classes; ++k) total += std::exp(row[k] - largest);
    for (std::size_t k = 0; k < classes; ++k)
      mean[k] += std::exp(row[k] - largest) / total / static_cast<double>(n);
  }
  return mean;
}

Verdict classes(const Task& task, const Batch& batch, const Tensor& outputs) {
  std::vector<double> prior(static_cast<std::size_t>(task.classes));
  for (const std::int32_t label : batch.targets.to_vector<std::int32_t>())
    prior.at(static_cast<std::size_t>(label)) += 1.0 / static_cast<double>(batch.size());
  const std::vector<double> predicted = mean_probabilities(outputs);
  double entropy = 0;
  for (const double p : prior) entropy -= p > 0 ? p * std::log(p) : 0;
  const bool even = std::log(double(task.classes)) - entropy < kEven * entropy;
  Verdict verdict{.outcome = Outcome::pass,
                  .found = "the first predictions have the classes' frequencies (nats wasted)",
                  .measured = divergence(prior, predicted),
                  .expected = 0,
                  .tolerance = (even ? kMostWhenEven : kMostExcess) * entropy};
  if (verdict.measured <= verdict.tolerance) return verdict;
  verdict.outcome = even ? Outcome::warn : Outcome::fail;
  verdict.reasons = {"head-bias"};
  verdict.found = "the first predictions ignore how frequent the classes are (nats wasted)";
  verdict.hint = "start the last layer with the biases below: --head prior, or nn::init_head";
  for (std::size_t k = 0; k < prior.size(); ++k)
    verdict.evidence.push_back(
        fmt::format("class {}: {:.4f} of the labels, {:.4f} predicted, bias {:.4f}", k, prior[k],
                    predicted[k], std::log(prior[k])));
  return verdict;
}

Verdict numbers(const Batch& batch, const Tensor& outputs) {
  const Moments targets = moments(batch.targets.to_vector<double>());
  const Moments predicted = moments(outputs.to_vector<double>());
  Verdict verdict{.outcome = Outcome::pass,
                  .found = "the mean of the first predictions is the targets'",
                  .measured = predicted.mean,
                  .expected = targets.mean,
                  .tolerance = targets.deviation};
  if (std::abs(predicted.mean - targets.mean) <= targets.deviation) return verdict;
  verdict.outcome = Outcome::fail;
  verdict.reasons = {"head-bias"};
  verdict.found = "the first predictions are far from the targets' mean";
  verdict.evidence = {fmt::format("targets {:.5g} with deviation {:.5g}, predictions {:.5g}",
                                  targets.mean, targets.deviation, predicted.mean)};
  verdict.hint = fmt::format("start the last layer's bias at {:.5g}", targets.mean);
  return verdict;
}

Verdict run(const Task& task) {
  const Batch batch = take(task.train, kExamples);
  const Tensor outputs = evaluated(task, batch.inputs);
  if (has_labels(batch) && outputs.shape().rank() == 2) return classes(task, batch, outputs);
  if (task.declared.kind == LossKind::mse || task.declared.kind == LossKind::huber)
    return numbers(batch, outputs);
  return skipped("what the outputs should be at first is known for classes and for numbers only");
}

}  // namespace

Check init_well() {
  return {"init_well", "5: init well",
          "Compares the mean of the network's first predictions with the labels': for classes the "
          "Kullback-Leibler\ndivergence of the mean predicted probabilities from the labels' "
          "frequencies, which must be under a quarter of\ntheir entropy (under all of it where "
          "classes are equally frequent); for numbers the two means, "
          "which must differ by less than one deviation. A network that starts\nelsewhere spends "
          "its first steps learning its own bias: the loss falls like a hockey stick.\nSource: "
          "Karpathy 2019, \"init well\".",
          &run};
}

}  // namespace cucina::checks
