// Tip 8, overfit one batch: the user's own step brings a handful of examples to the lowest loss
// there is, and predictions fall in line with labels.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <memory>

#include "core/autograd.h"
#include "recipe/check/check.h"
#include "recipe/check/declared_loss.h"
#include "recipe/check/samples.h"

namespace cucina::checks {
namespace {

constexpr std::int64_t kExamples = 16;
// Of a batch of 16 a small network needs 17 to 33 steps at Adam's 1e-3 and 63 to 128 at 3e-4.
constexpr int kSteps = 400;
// What is only slow goes on, as long as the loss falls by a fifth in so many steps.
constexpr int kMostSteps = 1600;
constexpr int kStepsPerFall = 100;
constexpr double kFall = 0.8;
constexpr double kMostWidth = 8;  // of the task's own, doubled three times
constexpr int kStepsPerLook = 5;
// Of the constant guess's loss above the floor: 0.07 nats for ten classes.
constexpr double kShare = 0.03;

// A batch that holds different targets; those of an ordered or tiny data set may all be alike.
Batch examples(const Task& task) {
  const Batch all = take(task.plain ? task.plain : task.train, 16 * kExamples);
  const std::int64_t n = std::min(kExamples, all.size());
  if (!has_labels(all)) return part(all, 0, n);
  const std::vector<std::int32_t> labels = all.targets.to_vector<std::int32_t>();
  for (std::int64_t i = 0; i + n <= all.size(); i += n) {
    if (std::any_of(labels.begin() + i, labels.begin() + i + n,
                    [&](std::int32_t label) { return label != labels[i]; }))
      return part(all, i, i + n);
  }
  return part(all, 0, n);
}

struct Look {
  double loss = 0;  // the lower one of training mode without random layers, and of evaluation
  Tensor outputs;   // that gave it
};

Look look(const Task& task, const Batch& batch) {
  const Tensor evaluating = evaluated(task, batch.inputs);
  Look best{loss_of(task, evaluating, batch.targets), evaluating};
  // Batch normalisation's running statistics follow the parameters at a distance.
  const Snapshot before(task);
  train_all_but_random(*task.model);
  {
    const NoGrad no_grad;
    const Tensor training = task.forward(batch.inputs);
    const double loss = loss_of(task, training, batch.targets);
    if (!(best.loss <= loss)) best = {loss, training};
  }
  before.restore(true);
  return best;
}

// How many predictions are right: the label's class, every flag of several, or the target within a
// tenth of the targets' deviation.
std::int64_t aligned(const Task& task, const Batch& batch, const Tensor& outputs,
                     std::vector<std::string>* wrong) {
  std::int64_t right = 0;
  const auto note = [&](std::int64_t i, double label, double predicted, bool is_right) {
    right += is_right ? 1 : 0;
    if (!is_right)
      wrong->push_back(
          fmt::format("example {}: target {:.4g}, predicted {:.4g}", i, label, predicted));
  };
  if (task.declared.kind == LossKind::binary_cross_entropy) {
    const std::vector<double> t = batch.targets.to_vector<double>(),
                              z = outputs.to_vector<double>();
    const std::size_t each = t.size() / static_cast<std::size_t>(batch.size());
    for (std::size_t i = 0; i < t.size(); i += each) {
      std::size_t k = 0;  // the first that is wrong, or the last
      while (k + 1 < each && (t[i + k] > 0.5) == (z[i + k] > 0)) ++k;
      note(static_cast<std::int64_t>(i / each), t[i + k], z[i + k],
           (t[i + k] > 0.5) == (z[i + k] > 0));
    }
    return right;
  }
  if (has_labels(batch)) {
    const std::vector<std::int32_t> labels = batch.targets.to_vector<std::int32_t>();
    const std::vector<std::int32_t> predicted = predictions(outputs);
    for (std::size_t i = 0; i < labels.size(); ++i)
      note(static_cast<std::int64_t>(i), labels[i], predicted[i], labels[i] == predicted[i]);
    return right;
  }
  const std::vector<double> y = batch.targets.to_vector<double>(), z = outputs.to_vector<double>();
  const double allowed = 0.5 * moments(y).deviation;
  const std::size_t each = y.size() / static_cast<std::size_t>(batch.size());
  for (std::size_t i = 0; i < y.size(); i += each)
    note(static_cast<std::int64_t>(i / each), y[i], z[i], std::abs(y[i] - z[i]) <= allowed);
  return right;
}

// Rows of probabilities where logits are due.
bool are_probabilities(const Tensor& outputs) {
  if (outputs.shape().rank() != 2) return false;
  const std::vector<double> p = outputs.to_vector<double>();
  const auto classes = static_cast<std::size_t>(outputs.size(1));
  for (std::size_t i = 0; i < p.size(); i += classes) {
    double sum = 0;
    for (std::size_t k = 0; k < classes; ++k) {
      if (p[i + k] < 0) return false;
      sum += p[i + k];
    }
    if (std::abs(sum - 1) > 1e-4) return false;
  }
  return true;
}

Verdict stuck(const Task& task, const Look& last, Verdict verdict, double guess, double first) {
  verdict.outcome = Outcome::fail;
  const double loss = verdict.measured;
  verdict.found = "the loss of one batch stops short of the lowest there is";
  verdict.reasons = {"floor-not-reached"};
  verdict.hint =
      "a network that cannot learn a handful of examples by heart is broken: look at the loss, the "
      "last layer, the learning rate and what the optimiser was given";
  const double two = double_softmax_floor(task.classes);
  if (task.classes > 1 &&
      (are_probabilities(last.outputs) ? loss >= two - 1e-3 : std::abs(loss - two) < 0.03)) {
    verdict.reasons = {"double-softmax", "floor-not-reached"};
    verdict.found = fmt::format(
        "the loss cannot fall below ln(e + {}) - 1 = {:.4f}, the floor of two softmaxes",
        task.classes - 1, two);
    verdict.hint = "the loss takes logits: remove the softmax from the network";
  } else if (std::abs(loss - first) < 0.01 * std::abs(first)) {
    verdict.reasons = {"does-not-learn", "floor-not-reached"};
    verdict.found = "training on one batch changes nothing (loss)";
  } else if (loss > 0.9 * guess && loss < 1.1 * guess) {
    verdict.reasons = {"constant-guess", "floor-not-reached"};
    verdict.found = "the loss stops at that of a constant guess";
    verdict.hint =
        "outputs do not depend on inputs, or errors of different examples are mixed: "
        "compare the shapes of outputs and targets";
  }
  return verdict;
}

Verdict learn(const Task& task, const Batch& batch) {
  const bool known = task.declared.kind != LossKind::other;
  const double guess =
      known ? constant_guess(task.declared, batch.targets, task.classes) : kNoNumber;
  const double scale = known ? (task.declared.sum ? double(batch.size()) : 1.0) : 1.0;
  const double floor = floor_of(task.declared, task.classes) * scale;
  const Look first = look(task, batch);
  Verdict verdict{.outcome = Outcome::pass,
                  .found = "one batch is learned by heart (loss)",
                  .measured = first.loss,
                  .expected = floor};
  verdict.tolerance = kShare * (known ? (guess - floor / scale) * scale : std::abs(first.loss));
  std::vector<std::string> wrong;
  int steps = 0;
  std::int64_t right = 0;
  bool reached = false;
  Look now = first;
  task.model->train();
  std::vector<double> falls{first.loss};
  const auto falling = [&] {
    return steps < kMostSteps && falls.size() > 1 &&
           falls.back() - floor < kFall * (falls[falls.size() - 2] - floor);
  };
  // A short training's schedule would end before this does: it begins again half-way.
  const std::vector<double> beginning = task.save ? task.save() : std::vector<double>();
  const std::int64_t rewind = task.decays && task.restore ? task.total_steps / 2 : 0;
  std::int64_t calls = 0;
  while (steps < kSteps || falling()) {
    for (int i = 0; i < kStepsPerLook * task.steps_per_update; ++i) {
      if (rewind > 0 && calls++ % rewind == 0) task.restore(beginning);
      task.step(batch);
    }
    steps += kStepsPerLook;
    now = look(task, batch);
    wrong.clear();
    verdict.measured = now.loss;
    right = aligned(task, batch, now.outputs, &wrong);
    if (!std::isfinite(now.loss)) break;
    if (steps % kStepsPerFall == 0) falls.push_back(now.loss);
    reached = now.loss <= floor + verdict.tolerance;
    if (reached && right == batch.size()) break;
  }
  verdict.evidence.push_back(
      fmt::format("{} steps on {} examples, loss {:.4g} at first, {} of {} "
                  "predictions right at last",
                  steps, batch.size(), first.loss, right, batch.size()));
  if (reached && right == batch.size()) return verdict;
  // Mixed targets keep the loss up; predictions tell all the same.
  if (task.mixes_targets && right == batch.size()) return verdict;
  verdict.evidence.insert(verdict.evidence.end(), wrong.begin(), wrong.end());
  if (reached) {
    verdict.outcome = Outcome::fail;
    verdict.reasons = {"predictions-do-not-align"};
    verdict.found = "the loss is at its lowest but predictions are wrong";
    verdict.hint = "the loss looks at fewer examples than it is given, or at other targets";
    return verdict;
  }
  return stuck(task, now, verdict, guess * scale, first.loss);
}

Verdict run(const Task& task) {
  if (!task.step) return skipped("there is no step");
  const Batch batch = examples(task);
  Verdict verdict = learn(task, batch);
  if (verdict.outcome != Outcome::fail || verdict.reasons.front() != "floor-not-reached" ||
      !task.widened || task.declared.kind == LossKind::other)
    return verdict;
  // A network that comes half of the way may only be too small.
  const double half = constant_guess(task.declared, batch.targets, task.classes) / 2 *
                      (task.declared.sum ? double(batch.size()) : 1.0);
  for (double width = 2; width <= kMostWidth && verdict.measured < half; width *= 2) {
    const std::shared_ptr<Task> wider = task.widened(width, 1);
    const Verdict again = learn(*wider, batch);
    if (again.outcome != Outcome::pass) continue;
    const std::vector<std::string> narrow = verdict.evidence;
    verdict = again;
    verdict.found =
        fmt::format("one batch is learned by heart at {:g} times the width (loss)", width);
    verdict.evidence.insert(verdict.evidence.end(), narrow.begin(), narrow.end());
    break;
  }
  return verdict;
}

}  // namespace

Check overfit_one_batch() {
  return {
      "overfit_one_batch", "8: overfit one batch",
      "Runs the task's own step 400 times on the same 16 examples, without augmentation, and on to "
      "1,600 while the loss\nfalls by a fifth per 100; a falling schedule starts again half-way. "
      "Where that is not "
      "enough and the task can be\nmade wider, its width is doubled, up to three times. "
      "The loss must come\nwithin 3 % of the constant guess's loss above the lowest there is "
      "(0, or the entropy of smoothed labels), and\nevery prediction must be its label. Where "
      "the loss stops tells why: at ln(e + C - 1) - 1 there are two\nsoftmaxes, at the constant "
      "guess's the inputs do not reach the outputs.\nSource: Karpathy 2019, \"overfit one "
      "batch\".",
      &run};
}

}  // namespace cucina::checks
