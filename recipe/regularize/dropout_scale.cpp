// Tip 26, drop: outputs while training must be, on average, those while evaluating.
#include <fmt/format.h>

#include <cmath>

#include "core/autograd.h"
#include "recipe/check/check.h"
#include "recipe/check/samples.h"

namespace cucina::checks {
namespace {

constexpr std::int64_t kExamples = 8;
constexpr std::int64_t kDraws = 64;
constexpr double kSlope = 0.2;  // away from 1; 1 - p when the rest is not scaled up

// One example many times: every copy has a mask of its own.
Tensor copies(const Tensor& inputs, std::int64_t i) {
  std::vector<std::int64_t> sizes(inputs.shape().sizes().begin(), inputs.shape().sizes().end());
  sizes[0] = kDraws;
  const Tensor all =
      Tensor::empty(Shape(std::span<const std::int64_t>(sizes)), inputs.dtype(), inputs.device());
  for (std::int64_t j = 0; j < kDraws; ++j) all.rows(j, j + 1).copy_from(inputs.rows(i, i + 1));
  return all;
}

Verdict run(const Task& task) {
  if (!has_random_layers(*task.model)) return skipped("no dropout");
  const Batch batch = take(task.train, kExamples);
  const NoGrad no_grad;
  std::vector<float> evaluating, training;
  double spread = 0;
  for (std::int64_t i = 0; i < batch.size(); ++i) {
    const std::vector<float> alone =
        evaluated(task, batch.inputs.rows(i, i + 1).clone()).to_vector<float>();
    evaluate_all_but_random(*task.model);
    const std::vector<float> drawn = task.forward(copies(batch.inputs, i)).to_vector<float>();
    for (std::size_t k = 0; k < alone.size(); ++k) {
      std::vector<double> values;
      for (std::int64_t j = 0; j < kDraws; ++j) values.push_back(drawn[j * alone.size() + k]);
      evaluating.push_back(alone[k]);
      training.push_back(static_cast<float>(moments(values).mean));
      spread += moments(values).deviation;
    }
  }
  // Around their means, so that a bias behind the dropout does not count.
  const auto centre = [](std::vector<float>* values) {
    const double mean = moments(std::vector<double>(values->begin(), values->end())).mean;
    for (float& value : *values) value -= static_cast<float>(mean);
  };
  centre(&evaluating);
  centre(&training);
  if (norm(evaluating) == 0)
    return {.outcome = Outcome::inconclusive,
            .reasons = {"outputs-alike"},
            .found = "all outputs are alike, so their scale cannot be seen"};
  Verdict verdict{.outcome = Outcome::pass,
                  .found = "outputs with dropout over outputs without (slope)",
                  .measured = dot(training, evaluating) / dot(evaluating, evaluating),
                  .expected = 1,
                  .tolerance = kSlope};
  if (spread == 0) {
    verdict.outcome = Outcome::warn;
    verdict.reasons = {"never-drops"};
    verdict.found = "dropout changes nothing while training (slope)";
    verdict.hint = "its probability is 0, or it is told to evaluate";
  } else if (std::abs(verdict.measured - 1) > kSlope) {
    verdict.outcome = Outcome::fail;
    verdict.reasons = {"not-rescaled"};
    verdict.found = "dropout changes the size of outputs (slope)";
    verdict.hint = "divide what is kept by 1 - p while training";
  }
  return verdict;
}

}  // namespace

Check dropout_scale() {
  return {
      "dropout_scale", "26: drop",
      "Runs eight examples 64 times each with dropout alone switched on, and compares the means "
      "of outputs with those\nwithout: their slope must be within 0.2 of 1. It is 1 - p when "
      "what is kept is not scaled up.\nSource: Srivastava et al. 2014; Karpathy 2019, \"drop\".",
      &run};
}

}  // namespace cucina::checks
