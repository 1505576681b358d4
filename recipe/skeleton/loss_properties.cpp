// Tip 4, beyond its first value: what every loss of its kind obeys, tried on made-up outputs in
// milliseconds.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "core/autograd.h"
#include "core/random.h"
#include "recipe/check/check.h"
#include "recipe/check/declared_loss.h"
#include "recipe/check/samples.h"

namespace cucina::checks {
namespace {

constexpr std::int64_t kExamples = 12;
constexpr double kRelative = 2e-4;  // f32

struct Outcomes {
  double loss = 0;
  std::vector<float> gradient;  // of the outputs; empty: there is none
};

Outcomes differentiated(const Task& task, const Tensor& outputs, const Tensor& targets) {
  Tensor z = outputs.clone();
  z.set_requires_grad(true);
  const Tensor loss = task.loss(z, targets);
  Outcomes result{loss.item(), {}};
  if (!loss.requires_grad()) return result;
  backward(loss);
  if (z.grad().defined()) result.gradient = z.grad().to_vector<float>();
  return result;
}

bool differ(double a, double b) {
  return !(std::abs(a - b) <= kRelative * std::max(std::abs(a), std::abs(b)) + 1e-6);
}

// The same rows in the order given.
Batch reordered(const Tensor& outputs, const Tensor& targets,
                const std::vector<std::int64_t>& order) {
  const auto rows = [&](const Tensor& from) {
    std::vector<std::int64_t> sizes(from.shape().sizes().begin(), from.shape().sizes().end());
    sizes[0] = static_cast<std::int64_t>(order.size());
    const Tensor to =
        Tensor::empty(Shape(std::span<const std::int64_t>(sizes)), from.dtype(), from.device());
    for (std::size_t i = 0; i < order.size(); ++i) {
      const auto at = static_cast<std::int64_t>(i);
      to.rows(at, at + 1).copy_from(from.rows(order[i], order[i] + 1));
    }
    return to;
  };
  return {rows(outputs), rows(targets)};
}

Tensor scaled_noise(const Tensor& like, double scale) {
  const RandomStream random(1, "loss_properties");
  std::vector<float> values(static_cast<std::size_t>(like.elements()));
  for (std::size_t i = 0; i < values.size(); ++i)
    values[i] = static_cast<float>(scale * random.normal(0, i));
  return Tensor::from(values, like.shape(), like.device());
}

// Outputs that are `distance` on the wrong side of every target (negative: on the right one, and
// for numbers the target itself).
Tensor off_by(const Task& task, const Tensor& like, const Tensor& targets, double distance) {
  std::vector<float> z = like.to_vector<float>();
  const std::vector<double> t = targets.to_vector<double>();
  const std::size_t k = z.size() / t.size();
  for (std::size_t i = 0; i < z.size(); ++i) {
    switch (task.declared.kind) {
      case LossKind::cross_entropy:
        z[i] = static_cast<float>(i % k == static_cast<std::size_t>(t[i / k]) ? -distance : 0);
        break;
      case LossKind::binary_cross_entropy:
        z[i] = static_cast<float>(t[i] > 0.5 ? -distance : distance);
        break;
      default:
        z[i] = static_cast<float>(t[i] + (distance < 0 ? 0 : i % 2 == 0 ? distance : -distance));
    }
  }
  return Tensor::from(z, like.shape(), like.device());
}

void order_and_size(const Task& task, const Tensor& z, const Tensor& t, Findings* findings) {
  const double loss = loss_of(task, z, t);
  std::vector<std::int64_t> back(kExamples), twice;
  for (std::int64_t i = 0; i < kExamples; ++i) back[i] = kExamples - 1 - i;
  for (int copy = 0; copy < 2; ++copy) {
    for (std::int64_t i = 0; i < kExamples; ++i) twice.push_back(i);
  }
  const Batch reversed = reordered(z, t, back), doubled = reordered(z, t, twice);
  const double reverse = loss_of(task, reversed.inputs, reversed.targets);
  if (differ(reverse, loss))
    findings->add(failed("depends-on-order", "the loss depends on the order of the examples",
                         "some rows are left out, or compared with others' targets", reverse,
                         loss));
  const double expected = (task.declared.sum ? 2 : 1) * loss;
  const double both = loss_of(task, doubled.inputs, doubled.targets);
  if (differ(both, expected))
    findings->add(failed("depends-on-batch-size",
                         "the loss of the batch twice is not what its reduction says",
                         "divide by the number of examples, and by nothing else", both, expected));
}

// Each row of a gradient that has none at all.
std::vector<std::string> silent_rows(const std::vector<float>& gradient, std::int64_t n) {
  std::vector<std::string> rows;
  const std::size_t k = gradient.size() / static_cast<std::size_t>(n);
  for (std::int64_t i = 0; i < n; ++i) {
    const double size = norm(std::span(gradient).subspan(i * k, k));
    if (!(size > 0)) rows.push_back(fmt::format("example {}", i));
  }
  return rows;
}

void gradients(const Task& task, const Tensor& z, const Tensor& t, double distance,
               Findings* findings) {
  const Outcomes plain = differentiated(task, z, t);
  if (plain.gradient.empty()) {
    findings->add(failed("no-gradient", "the loss has no gradient",
                         "it must be made of differentiable ops: no argmax, rounding or detach()"));
    return;
  }
  const auto silent = [&](const char* reason, const std::vector<std::string>& rows,
                          const char* hint) {
    if (rows.empty()) return;
    Verdict verdict = failed(
        reason, fmt::format("{} of {} examples have no gradient", rows.size(), kExamples), hint);
    verdict.evidence = rows;
    findings->add(verdict);
  };
  silent("rows-without-gradient", silent_rows(plain.gradient, kExamples),
         "the loss leaves examples out: look for a slice or a mask");
  const Tensor wrong = off_by(task, z, t, distance);
  silent("clipped-loss", silent_rows(differentiated(task, wrong, t).gradient, kExamples),
         "the loss is clipped, and what is most wrong teaches nothing: clip the gradient instead");
  // One example far off among good ones: a clipped batch loss still lets single ones pass.
  const Tensor right = off_by(task, z, t, -distance);
  const double good = loss_of(task, right, t), bad = loss_of(task, wrong, t);
  if (!(good < bad))
    findings->add(failed("wrong-direction", "right predictions cost more than wrong ones",
                         "turn the sign of the loss", good, bad));
}

void slope(const Task& task, const Tensor& z, const Tensor& t, Findings* findings) {
  const Outcomes plain = differentiated(task, z, t);
  if (plain.gradient.empty()) return;
  const std::vector<float> at = z.to_vector<float>();
  const std::vector<float> direction = scaled_noise(z, 1).to_vector<float>();
  const double h = 1e-2 * norm(at) / norm(direction);
  const auto moved = [&](double by) {
    std::vector<float> values = at;
    for (std::size_t i = 0; i < values.size(); ++i)
      values[i] += static_cast<float>(by * direction[i]);
    return loss_of(task, Tensor::from(values, z.shape(), z.device()), t);
  };
  const double measured = dot(plain.gradient, direction),
               expected = (moved(h) - moved(-h)) / (2 * h);
  const double size = norm(plain.gradient) * norm(direction);
  if (std::abs(measured - expected) > 0.02 * size)
    findings->add(failed("wrong-gradient",
                         "the loss's gradient is not its slope (along a direction)",
                         "run cucina gradcheck on its ops", measured, expected));
}

void of_classes(const Task& task, const Tensor& z, const Tensor& t, Findings* findings) {
  const Outcomes extreme = differentiated(task, scaled_noise(z, 500), t);
  const bool finite =
      std::isfinite(extreme.loss) && std::all_of(extreme.gradient.begin(), extreme.gradient.end(),
                                                 [](float g) { return std::isfinite(g); });
  if (!finite)
    findings->add(failed("overflow", "logits of some hundreds make the loss no number",
                         "subtract the largest logit before exponentials, or use "
                         "softmax_cross_entropy",
                         extreme.loss));
  std::vector<float> shifted = z.to_vector<float>();
  for (float& value : shifted) value += 3;
  const double loss = loss_of(task, z, t);
  const double moved = loss_of(task, Tensor::from(shifted, z.shape(), z.device()), t);
  if (differ(loss, moved))
    findings->add(failed("not-shift-invariant",
                         "adding 3 to all logits of an example changes the loss",
                         "it is no softmax cross entropy, which is declared", moved, loss));
  const double best = loss_of(task, off_by(task, z, t, -50), t);
  // Smoothed labels' loss is lowest elsewhere.
  if (task.declared.label_smoothing > 0 || !task.declared.class_weights.empty()) return;
  if (std::abs(best) > 1e-3)
    findings->add(failed("floor-not-reached", "right and certain predictions still cost something",
                         std::abs(best - double_softmax_floor(task.classes)) < 1e-3
                             ? "the loss applies a softmax twice"
                             : "look for label smoothing that is not declared, or another loss",
                         best, 0));
}

Verdict run(const Task& task) {
  if (task.declared.kind == LossKind::other) return skipped("the loss is declared as other");
  const Batch batch = take(task.train, 8 * kExamples);
  if (batch.size() < kExamples) return skipped("fewer than 12 examples");
  const bool labels = has_labels(batch);
  Tensor targets = part(batch, 0, kExamples).targets;
  if (labels) {  // every class, whatever the order of the data
    std::vector<std::int32_t> all(kExamples);
    for (std::int64_t i = 0; i < kExamples; ++i)
      all[i] = static_cast<std::int32_t>(i % task.classes);
    targets = Tensor::from(all, {kExamples}, batch.targets.device());
  }
  const Tensor like = evaluated(task, part(batch, 0, kExamples).inputs);
  const double unit =
      labels ? 1 : std::max(1e-12, moments(batch.targets.to_vector<double>()).deviation);
  Tensor z = scaled_noise(like, unit);
  if (!labels && task.declared.kind != LossKind::binary_cross_entropy) {
    std::vector<float> around = z.to_vector<float>();
    const std::vector<float> t = targets.to_vector<float>();
    for (std::size_t i = 0; i < around.size(); ++i) around[i] += t[i];
    z = Tensor::from(around, z.shape(), z.device());
  }
  Findings findings;
  findings.add({.outcome = Outcome::pass, .found = "the loss has the properties of its kind"});
  order_and_size(task, z, targets, &findings);
  gradients(task, z, targets, 30 * unit, &findings);
  slope(task, z, targets, &findings);
  if (labels) of_classes(task, z, targets, &findings);
  return findings.verdict();
}

}  // namespace

Check loss_properties() {
  return {"loss_properties", "4: verify loss at init",
          "Tries the task's loss on made-up outputs. It must not depend on the order of examples; "
          "of a batch twice it must be\nthe same (a sum: twice as much); every example must have a "
          "gradient, those that are utterly wrong too, or the\nloss is clipped where the gradient "
          "was meant; right predictions must cost less than wrong ones; the gradient must\nbe the "
          "slope. A cross entropy must stay finite for logits of 500, ignore a constant added to "
          "all logits, and be 0\nwhere predictions are right and certain.\nSource: Karpathy 2019, "
          "examples of what fails silently.",
          &run};
}

}  // namespace cucina::checks
