// Tip 8, before anything is overfitted: one update of the user's step is taken apart. It must use
// this batch's gradient and no other, go down it, move every parameter, and move it neither too far
// nor not at all.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>

#include "core/autograd.h"
#include "nn/models.h"
#include "recipe/check/check.h"
#include "recipe/check/samples.h"

namespace cucina::checks {
namespace {

constexpr int kUpdates = 3;  // with a last layer of zeros, others have no gradient in the first
// Length of an update over that of the weights: 0.005 to 0.008 for Adam at 1e-3.
constexpr double kFarthest = 0.5;
constexpr double kNearest = 1e-6;
constexpr double kAscent = -0.05;   // cosine of an update and the way down
constexpr double kOnlyDecay = 0.8;  // cosine of an update and the way to 0

using Values = std::map<std::string, std::vector<float>>;

Values parameters(const Task& task) {
  Values values;
  for (const nn::NamedTensor& each : task.model->parameters())
    values[each.name] = each.tensor.to_vector<float>();
  return values;
}

Values running_means(const Task& task) {
  Values values;
  for (const nn::NamedTensor& each : task.model->buffers()) {
    if (each.name.ends_with("running_mean")) values[each.name] = each.tensor.to_vector<float>();
  }
  return values;
}

void update(const Task& task, const Batch& batch) {
  for (int i = 0; i < task.steps_per_update; ++i) task.step(batch);
}

// The gradient of the loss of `batch`, computed here; zeros where there is none.
Values gradient(const Task& task, const Batch& batch) {
  const Snapshot before(task);
  before.restore();  // forgets gradients
  backward(task.loss(task.forward(batch.inputs), batch.targets));
  Values values;
  for (const nn::NamedTensor& each : task.model->parameters()) {
    const Tensor grad = each.tensor.grad();
    values[each.name] =
        grad.defined() ? grad.to_vector<float>() : std::vector<float>(each.tensor.elements(), 0.0f);
  }
  before.restore();
  return values;
}

// Does an update read what an earlier one left in the gradients?
Verdict stale_gradients(const Task& task, const Batch& a, const Batch& b) {
  const Snapshot start(task);
  const auto after = [&](bool keep_gradients) {
    start.restore(keep_gradients);
    update(task, b);
    return parameters(task);
  };
  const Values clean = after(false);
  if (after(false) != clean) {
    start.restore();
    return {.outcome = Outcome::inconclusive,
            .reasons = {"not-repeatable"},
            .found = "the same update twice gives different parameters: see fix_random_seed"};
  }
  start.restore();
  update(task, a);
  const Values stale = after(true);
  start.restore();
  if (stale == clean)
    return {.outcome = Outcome::pass, .found = "an update uses the gradient of its batch alone"};
  Verdict verdict{
      .outcome = Outcome::fail,
      .reasons = {"gradients-accumulate"},
      .found = "an update also uses the gradients of the batch before",
      .hint = "forget gradients before each backward: ParameterArena::clear_gradients()"};
  for (const auto& [name, values] : clean) {
    if (stale.at(name) != values) verdict.evidence.push_back(name + " differs");
  }
  return verdict;
}

// What the updates did, added up.
struct Motion {
  double down = 0;                   // mean cosine of the update and minus the gradient
  double to_zero = 0;                // mean cosine of the update and minus the weights
  double farthest = 0, nearest = 0;  // over updates: length over that of the weights, all together
  std::map<std::string, double> gradient;  // largest norm seen
};

double rate_factor(const Task& task, std::int64_t update) {
  if (!task.schedule || task.learning_rate <= 0) return 1;
  const double rate = task.schedule(update * task.steps_per_update);
  return rate > 0 ? task.learning_rate / rate : 1;
}

Motion move(const Task& task, const std::vector<Batch>& batches) {
  Motion motion;
  for (std::size_t u = 0; u < batches.size(); ++u) {
    const Values g = gradient(task, batches[u]), before = parameters(task);
    update(task, batches[u]);
    const Values after = parameters(task);
    double dd = 0, gg = 0, ww = 0, dg = 0, dw = 0, weights = 0, moved = 0;
    for (const nn::NamedTensor& each : task.model->parameters()) {
      const std::vector<float>& w = before.at(each.name);
      std::vector<float> d = after.at(each.name);
      for (std::size_t i = 0; i < d.size(); ++i) d[i] -= w[i];
      const std::vector<float>& slope = g.at(each.name);
      motion.gradient[each.name] = std::max(motion.gradient[each.name], norm(slope));
      dd += dot(d, d), gg += dot(slope, slope), ww += dot(w, w), dg += dot(d, slope),
          dw += dot(d, w);
      if (each.tensor.shape().rank() < 2 || norm(w) == 0) continue;
      weights += dot(w, w), moved += dot(d, d);
    }
    const auto n = static_cast<double>(batches.size());
    if (dd > 0 && gg > 0) motion.down -= dg / std::sqrt(dd * gg) / n;
    if (dd > 0 && ww > 0) motion.to_zero -= dw / std::sqrt(dd * ww) / n;
    const double ratio = weights > 0 ? std::sqrt(moved / weights) * rate_factor(task, u) : 0;
    motion.farthest = std::max(motion.farthest, ratio);
    motion.nearest = std::max(motion.nearest, ratio);
  }
  return motion;
}

Verdict unmoved(const Task& task, const Values& before, const Motion& motion) {
  const Values after = parameters(task);
  Verdict verdict{.outcome = Outcome::pass, .found = "every parameter moves, but frozen ones"};
  bool given = false;
  for (const auto& [name, values] : before) {
    const bool moved = after.at(name) != values;
    if (moved == !is_frozen(task, name)) continue;
    verdict.outcome = Outcome::fail;
    if (moved) {
      verdict.reasons = {"frozen-moved"};
      verdict.evidence.push_back(name + " is declared frozen and moves");
    } else {
      const double norm = motion.gradient.at(name);
      given = given || norm == 0;
      verdict.evidence.push_back(
          fmt::format("{} stays, its gradient's norm is {:.3g}", name, norm));
    }
  }
  if (verdict.outcome == Outcome::pass) return verdict;
  verdict.found = fmt::format("{} of {} parameters do not do what they should in {} updates",
                              verdict.evidence.size(), before.size(), kUpdates);
  if (verdict.reasons.empty()) verdict.reasons = {given ? "no-gradient" : "parameter-did-not-move"};
  verdict.hint = given ? "no gradient reaches them: look for a detach() or a dead layer behind them"
                       : "give them to the optimiser, or declare them frozen";
  return verdict;
}

Verdict statistics(const Values& before, const Values& after) {
  if (before.empty()) return skipped("no batch normalisation");
  Verdict verdict{.outcome = Outcome::pass, .found = "batch normalisation's statistics follow"};
  for (const auto& [name, values] : before) {
    if (after.at(name) != values) continue;
    verdict.outcome = Outcome::fail;
    verdict.reasons = {"batch-statistics-frozen"};
    verdict.found = "training steps leave batch normalisation's statistics alone";
    verdict.evidence.push_back(name + " does not change");
    verdict.hint = "the step runs in evaluation mode: call train() before it";
  }
  return verdict;
}

void judge(const Task& task, const Motion& motion, Findings* findings) {
  Verdict down{.outcome = Outcome::pass,
               .found = "updates go down the gradient (cosine)",
               .measured = motion.down,
               .expected = 1};
  if (motion.down < kAscent && !task.mixes_targets) {
    down.outcome = Outcome::fail;
    down.reasons = {"ascent"};
    down.found = "updates go up the gradient (cosine)";
    down.hint = "subtract the gradient instead of adding it";
  }
  findings->add(down);
  Verdict size{.outcome = Outcome::pass,
               .found = "an update's length over the weights'",
               .measured = motion.farthest};
  if (motion.farthest > kFarthest || !std::isfinite(motion.farthest)) {
    size.outcome = Outcome::fail;
    size.reasons = {"update-too-large"};
    size.found = "an update is as long as the weights themselves (ratio)";
    size.hint = "lower the learning rate";
  } else if (motion.nearest < kNearest) {
    size.outcome = Outcome::fail;
    size.reasons = {"update-too-small"};
    size.found = "updates are too small to matter (length over the weights')";
    size.hint = "raise the learning rate, or look for gradients that were clipped or scaled away";
  }
  findings->add(size);
  if (motion.to_zero > kOnlyDecay)
    findings->add({.outcome = Outcome::fail,
                   .reasons = {"decay-dominates"},
                   .found = "updates only shrink the weights (cosine with the way to 0)",
                   .measured = motion.to_zero,
                   .hint = "lower the weight decay"});
}

Verdict run(const Task& task) {
  if (!task.step) return skipped("there is no step");
  const std::vector<Batch> some = batches(task.train, kUpdates);
  task.model->train();
  Findings findings;
  findings.add(stale_gradients(task, some.front(), some.back()));
  const Values before = parameters(task), means = running_means(task);
  const Motion motion = move(task, some);
  findings.add(unmoved(task, before, motion));
  findings.add(statistics(means, running_means(task)));
  judge(task, motion, &findings);
  return findings.verdict();
}

}  // namespace

Check step_audit() {
  return {"step_audit", "8: overfit one batch",
          "Runs three updates of the task's own step and compares them with gradients computed "
          "beside it:\n- an update after another batch must equal, bit for bit, the same update "
          "without it: else gradients accumulate;\n- it must not point up the gradient, nor at 0 "
          "(decay alone);\n- its length must be between 1e-6 and 0.5 of the weights', at the "
          "schedule's highest rate;\n- every parameter must move but those declared frozen, and "
          "batch normalisation's statistics too.\nSource: Karpathy's tweets of 1 July 2018 "
          "(zero_grad, train/eval); thresholds measured, docs/recipe.md.",
          &run};
}

}  // namespace cucina::checks
