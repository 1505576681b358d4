// Tip 8: the gradient that a step used has the size of this batch's, and a batch's is the mean of
// its parts'.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "core/autograd.h"
#include "nn/models.h"
#include "recipe/check/check.h"
#include "recipe/check/samples.h"

namespace cucina::checks {
namespace {

constexpr double kRelative = 1e-3;
constexpr double kLeast = 1e-3;  // of the gradient's norm: what clipping may leave of it

std::vector<float> gradients(const Task& task) {
  std::vector<float> all;
  for (const nn::NamedTensor& each : task.model->parameters()) {
    const Tensor grad = each.tensor.grad();
    const std::vector<float> values =
        grad.defined() ? grad.to_vector<float>() : std::vector<float>(each.tensor.elements(), 0.0f);
    all.insert(all.end(), values.begin(), values.end());
  }
  return all;
}

std::vector<float> computed(const Task& task, const Batch& batch) {
  for (const nn::NamedTensor& each : task.model->parameters()) each.tensor.clear_grad();
  const Tensor loss = task.loss(task.forward(batch.inputs), batch.targets);
  if (loss.requires_grad()) backward(loss);
  std::vector<float> all = gradients(task);
  for (const nn::NamedTensor& each : task.model->parameters()) each.tensor.clear_grad();
  return all;
}

Verdict micro_batches(const Task& task, const Batch& batch) {
  const std::int64_t n = batch.size() / 2 * 2;
  if (n < 2) return skipped("batches of one example have no parts");
  if (task.declared.kind == LossKind::other || !task.declared.class_weights.empty())
    return skipped("the loss need not be a mean over examples");
  const Snapshot before(task);
  task.model->train(false);
  const std::vector<float> whole = computed(task, part(batch, 0, n));
  std::vector<float> halves = computed(task, part(batch, 0, n / 2));
  const std::vector<float> other = computed(task, part(batch, n / 2, n));
  before.restore();
  const float weight = task.declared.sum ? 1.0f : 0.5f;
  for (std::size_t i = 0; i < halves.size(); ++i) halves[i] = weight * (halves[i] + other[i]);
  for (std::size_t i = 0; i < halves.size(); ++i) halves[i] -= whole[i];
  Verdict verdict{.outcome = Outcome::pass,
                  .found = "a batch's gradient is its halves' (relative difference)",
                  .measured = norm(halves) / norm(whole),
                  .expected = 0,
                  .tolerance = kRelative + 4 * task.rounding};
  if (norm(whole) == 0)
    return {.outcome = Outcome::fail,
            .reasons = {"no-gradient"},
            .found = "no gradient reaches any parameter",
            .hint = "the loss must be made of differentiable ops of the network's outputs"};
  if (verdict.measured <= verdict.tolerance) return verdict;
  verdict.outcome = Outcome::fail;
  verdict.reasons = {"not-additive"};
  verdict.found = "a batch's gradient is not the mean of its halves' (relative difference)";
  verdict.hint = "examples influence each other, or the loss is not the mean it is declared to be";
  return verdict;
}

// After the step gradients are still there, unless the user forgets them at the end of it.
Verdict used(const Task& task, const Batch& batch) {
  if (!task.step) return skipped("there is no step");
  if (task.parts > 1 && nn::has_batch_norm(*task.model))
    return skipped("each part of a batch is normalised by itself");
  const Snapshot before(task);
  before.restore();
  task.model->train();
  const std::vector<float> expected = computed(task, batch);
  before.restore();
  task.model->train();
  for (int i = 0; i < task.steps_per_update; ++i) task.step(batch);
  const std::vector<float> found = gradients(task);
  before.restore();
  if (norm(found) == 0 || norm(expected) == 0 || task.steps_per_update > 1 || task.mixes_targets)
    return skipped("the step does not leave its gradient to look at");
  Verdict verdict{.outcome = Outcome::pass,
                  .found = "the gradient a step uses over that of its batch (ratio of norms)",
                  .measured = norm(found) / norm(expected),
                  .expected = 1};
  const double cosine = dot(found, expected) / norm(found) / norm(expected);
  verdict.evidence = {fmt::format("cosine {:.4f}", cosine)};
  if (verdict.measured < kLeast) {
    verdict.outcome = Outcome::fail;
    verdict.reasons = {"clipped-away"};
    verdict.found = "next to nothing is left of the gradient that a step uses (ratio of norms)";
    verdict.hint = "raise the norm that gradients are clipped to, or look for a factor";
  } else if (verdict.measured > 1.01) {
    verdict.outcome = Outcome::warn;
    verdict.reasons = {"scaled-up"};
    verdict.found = "a step uses a larger gradient than its batch has (ratio of norms)";
  } else if (cosine < 0.9 && !task.clips_values) {
    verdict.outcome = Outcome::fail;
    verdict.reasons = {"another-gradient"};
    verdict.found = "a step uses another gradient than its batch's (ratio of norms)";
    verdict.hint = "look for gradients that were not forgotten, and for hooks that change them";
  }
  return verdict;
}

Verdict run(const Task& task) {
  const Batch batch = batches(task.train, 1).front();
  Findings findings;
  findings.add(used(task, batch));
  findings.add(micro_batches(task, batch));
  return findings.verdict();
}

}  // namespace

Check gradient_scale() {
  return {"gradient_scale", "8: overfit one batch",
          "Compares the gradient that a step leaves behind with the one computed from the same "
          "batch: clipping may shorten\nit, but to no less than a thousandth, and not turn it. And "
          "evaluating, where no statistics of the batch are used,\na batch's gradient must be the "
          "mean (or, as declared, sum) of its halves', to 1e-3.",
          &run};
}

}  // namespace cucina::checks
