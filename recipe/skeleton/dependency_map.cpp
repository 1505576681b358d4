// Tip 12, use backprop to chart dependencies: output i must depend on input i, on no other, and on
// every parameter.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "core/autograd.h"
#include "nn/models.h"
#include "recipe/check/check.h"
#include "recipe/check/samples.h"

namespace cucina::checks {
namespace {

constexpr std::int64_t kExamples = 5;
constexpr std::int64_t kForParameters = 16;
// Of the largest dependence. Single examples and batches differ by rounding, 8e-6 at most.
constexpr double kNone = 1e-4;
constexpr double kNoEffect = 1e-6;

// map[i][j]: how much output i depends on input j.
using Map = std::vector<std::vector<double>>;

std::span<const float> row(const std::vector<float>& values, std::int64_t i, std::int64_t n) {
  const std::size_t size = values.size() / static_cast<std::size_t>(n);
  return std::span(values).subspan(static_cast<std::size_t>(i) * size, size);
}

// Norms of d (weighted sum of output i) / d input j. Not of a plain sum: that of probabilities is 1
// whatever they are.
Map by_gradient(const Task& task, const Tensor& inputs) {
  Tensor x = inputs.clone();
  x.set_requires_grad(true);
  const Tensor y = task.forward(x);
  const std::int64_t n = inputs.size(0);
  Map map;
  for (std::int64_t i = 0; i < n; ++i) {
    const Tensor seed = Tensor::zeros(y.shape(), y.dtype(), y.device());
    seed.rows(i, i + 1).copy_from(noise_like(y.rows(i, i + 1), "seed", 1));
    if (y.requires_grad()) backward(y, {.retain_graph = true}, seed);
    std::vector<double> norms(static_cast<std::size_t>(n));
    if (x.grad().defined()) {
      const std::vector<float> dx = x.grad().to_vector<float>();
      for (std::int64_t j = 0; j < n; ++j) norms[j] = norm(row(dx, j, n));
    }
    map.push_back(norms);
    x.clear_grad();
  }
  return map;
}

// Norms of output i's change when input j is changed.
Map by_perturbation(const Task& task, const Tensor& inputs) {
  const NoGrad no_grad;
  const std::int64_t n = inputs.size(0);
  const std::vector<float> before = task.forward(inputs).to_vector<float>();
  Map map(static_cast<std::size_t>(n), std::vector<double>(static_cast<std::size_t>(n)));
  for (std::int64_t j = 0; j < n; ++j) {
    const Tensor changed = inputs.clone();
    changed.rows(j, j + 1).copy_from(noise_like(inputs.rows(j, j + 1), "input", 1));
    std::vector<float> after = task.forward(changed).to_vector<float>();
    for (std::size_t i = 0; i < after.size(); ++i) after[i] -= before[i];
    for (std::int64_t i = 0; i < n; ++i) map[i][j] = norm(row(after, i, n));
  }
  return map;
}

Verdict judge(const Map& map, const char* how, const char* mode) {
  double largest = 0;
  for (const auto& row : map)
    largest = std::max(largest, *std::max_element(row.begin(), row.end()));
  Verdict mixes{.outcome = Outcome::pass,
                .found = "output i depends on input i alone (largest other, relative)",
                .measured = 0,
                .expected = 0,
                .tolerance = kNone};
  std::vector<std::string> pairs, cut;
  for (std::size_t i = 0; i < map.size(); ++i) {
    if (!(map[i][i] > kNone * largest))
      cut.push_back(fmt::format("output {} of {}, {}", i, how, mode));
    for (std::size_t j = 0; j < map.size(); ++j) {
      if (i == j || !(map[i][j] > kNone * largest)) continue;
      mixes.measured = std::max(mixes.measured, map[i][j] / largest);
      pairs.push_back(fmt::format("output {} depends on input {} ({}, {})", i, j, how, mode));
    }
  }
  if (!pairs.empty()) {
    mixes.outcome = Outcome::fail;
    mixes.reasons = {"examples-mix"};
    mixes.found = "outputs depend on other examples' inputs (relative)";
    mixes.evidence = pairs;
    mixes.hint =
        "look for a view where axes should be permuted, and for sums, means or a softmax "
        "along the batch";
    return mixes;
  }
  if (cut.empty()) return mixes;
  return {.outcome = Outcome::fail,
          .reasons = {"input-unreachable"},
          .found = "outputs do not depend on their own inputs",
          .evidence = cut,
          .hint = "look for a detach(), a dead layer, or an input that is not used"};
}

Verdict agreement(const Map& gradient, const Map& perturbation) {
  for (std::size_t i = 0; i < gradient.size(); ++i) {
    for (std::size_t j = 0; j < gradient.size(); ++j) {
      if ((gradient[i][j] > 0) == (perturbation[i][j] > 0) || i != j) continue;
      return {.outcome = Outcome::fail,
              .reasons = {"backward-disagrees"},
              .found = "forward and backward disagree on what outputs depend on",
              .evidence = {fmt::format("output {}, input {}: gradient {:.3g}, change {:.3g}", i, j,
                                       gradient[i][j], perturbation[i][j])},
              .hint = "run cucina gradcheck; look for a detach() or a wrong backward"};
    }
  }
  return {.outcome = Outcome::pass, .found = "forward and backward agree"};
}

Verdict parameters(const Task& task, const Tensor& inputs) {
  train_all_but_random(*task.model);
  for (const nn::NamedTensor& each : task.model->parameters()) each.tensor.clear_grad();
  const Tensor y = task.forward(inputs);
  if (y.requires_grad()) backward(y, {}, noise_like(y, "seed", 1));
  double largest = 0;
  const auto size = [](const Tensor& parameter) {
    if (!parameter.grad().defined()) return 0.0;
    const std::vector<float> g = parameter.grad().to_vector<float>();
    return norm(g) / std::sqrt(static_cast<double>(g.size()));
  };
  for (const nn::NamedTensor& each : task.model->parameters())
    largest = std::max(largest, size(each.tensor));
  Findings findings;
  for (const nn::NamedTensor& each : task.model->parameters()) {
    const double gradient = size(each.tensor);
    if (is_frozen(task, each.name) || gradient > kNoEffect * largest) continue;
    const bool none = gradient == 0;
    findings.add({.outcome = none ? Outcome::fail : Outcome::warn,
                  .reasons = {none ? "parameter-unreachable" : "parameter-without-effect"},
                  .found = fmt::format("{} has {} the outputs", each.name,
                                       none ? "no gradient from" : "no effect on"),
                  .evidence = {fmt::format("{}: {:.2g} of the largest gradient", each.name,
                                           largest > 0 ? gradient / largest : 0)},
                  .hint = none ? "look for a detach() between it and the outputs"
                               : "a bias in front of a batch normalisation is subtracted again: "
                                 "leave it out"});
  }
  findings.add({.outcome = Outcome::pass, .found = "every parameter reaches the outputs"});
  return findings.verdict();
}

// Output t of example 0 must not see inputs after t.
Verdict causal(const Task& task, const Tensor& inputs) {
  Tensor x = inputs.clone();
  x.set_requires_grad(true);
  const Tensor y = task.forward(x);
  const std::int64_t n = x.size(0), times = x.size(1);
  for (std::int64_t t = 0; t < times && t < y.size(1); ++t) {
    std::vector<float> seed(static_cast<std::size_t>(y.elements()));
    const std::int64_t width = y.elements() / n / y.size(1);
    const std::vector<float> numbers = noise_like(y, "seed", 1).to_vector<float>();
    for (std::int64_t k = 0; k < width; ++k) seed[t * width + k] = numbers[k];
    backward(y, {.retain_graph = true}, Tensor::from(seed, y.shape(), y.device()));
    const std::vector<float> dx = x.grad().to_vector<float>();
    x.clear_grad();
    const std::int64_t step = x.elements() / n / times;
    for (std::int64_t later = t + 1; later < times; ++later) {
      if (norm(std::span(dx).subspan(later * step, step)) == 0) continue;
      return {
          .outcome = Outcome::fail,
          .reasons = {"sees-the-future"},
          .found = "an output depends on a later input",
          .evidence = {fmt::format("output at time {} depends on the input at time {}", t, later)},
          .hint = "pad or mask by one more step: outputs may see inputs up to their own time"};
    }
  }
  return {.outcome = Outcome::pass, .found = "outputs see no later input"};
}

Verdict run(const Task& task) {
  const Batch batch = take(task.train, kForParameters);
  const std::int64_t n = std::min(kExamples, batch.size());
  if (n < 2) return skipped("one example alone cannot mix with another");
  const Tensor inputs = batch.inputs.rows(0, n).clone();
  shake_parameters(task);
  Findings findings;
  task.model->train(false);
  const auto look = [&](const char* mode) {
    const Map gradient = by_gradient(task, inputs), perturbation = by_perturbation(task, inputs);
    findings.add(judge(perturbation, "perturbation", mode));
    findings.add(judge(gradient, "gradient", mode));
    findings.add(agreement(gradient, perturbation));
  };
  look("evaluating");
  // While training, batch normalisation mixes examples, and is meant to.
  if (!nn::has_batch_norm(*task.model)) {
    train_all_but_random(*task.model);
    look("training");
  }
  if (task.causal) findings.add(causal(task, inputs));
  findings.add(parameters(task, batch.inputs));
  return findings.verdict();
}

}  // namespace

Check dependency_map() {
  return {
      "dependency_map", "12: use backprop to chart dependencies",
      "Of five examples, charts which output depends on which input, twice: by the gradient of "
      "a weighted sum of\noutput i, for all i, and by exchanging input j. Anything off the "
      "diagonal above 1e-4 fails, and so does a\ndiagonal that is empty. Evaluating always, and "
      "training too where there is no batch normalisation, which mixes\nexamples by design. "
      "Then every parameter must have a gradient; one that is as good as 0 is warned of. For a\n"
      "causal task, output t must not depend on inputs after t. Parameters are shaken first: a "
      "last layer of zeros\nwould hide everything.\nSource: Karpathy 2019 as of 8 May 2019, "
      "\"use backprop to chart dependencies\".",
      &run};
}

}  // namespace cucina::checks
