// Tips 13 and 15: an optimiser's first updates against its rule, in f64.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>

#include "core/autograd.h"
#include "recipe/check/check.h"
#include "recipe/check/samples.h"

namespace cucina::checks {
namespace {

constexpr int kUpdates = 4;  // in the first ones Adam's corrections matter most
constexpr double kRelative = 1e-2;

using Values = std::vector<double>;

// What the rule makes of one tensor.
class Rule {
 public:
  Rule(const DeclaredOptimizer& how, std::size_t n, bool decays)
      : how_(how), decay_(decays ? how.weight_decay : 0), m_(n), v_(n) {}

  // torch.optim.SGD, or AdamW (Loshchilov & Hutter 2019, arXiv:1711.05101, algorithm 2).
  Values update(const Values& w, const std::vector<float>& gradient, double rate) {
    ++t_;
    Values change(w.size());
    for (std::size_t i = 0; i < w.size(); ++i) {
      if (how_.kind == OptimizerKind::sgd) {
        const double g = gradient[i] + decay_ * w[i];
        m_[i] = t_ == 1 ? g : how_.momentum * m_[i] + g;
        change[i] = -rate * (how_.momentum == 0 ? g
                             : how_.nesterov    ? g + how_.momentum * m_[i]
                                                : m_[i]);
        continue;
      }
      const double g = gradient[i];
      m_[i] = how_.beta1 * m_[i] + (1 - how_.beta1) * g;
      v_[i] = how_.beta2 * v_[i] + (1 - how_.beta2) * g * g;
      const double m = m_[i] / (1 - std::pow(how_.beta1, t_)),
                   v = v_[i] / (1 - std::pow(how_.beta2, t_));
      change[i] = -rate * (m / (std::sqrt(v) + how_.eps) + decay_ * w[i]);
    }
    return change;
  }

 private:
  DeclaredOptimizer how_;
  double decay_;
  int t_ = 0;
  Values m_, v_;
};

bool is_fresh(const Task& task) {
  return std::all_of(task.state.begin(), task.state.end(), [](const nn::NamedTensor& each) {
    if (each.tensor.dtype() != DType::f32) return true;
    const std::vector<float> values = each.tensor.to_vector<float>();
    return std::all_of(values.begin(), values.end(), [](float v) { return v == 0; });
  });
}

double length(const Values& values) {
  double sum = 0;
  for (const double value : values) sum += value * value;
  return std::sqrt(sum);
}

Verdict run(const Task& task) {
  if (!task.step || task.optimizer.kind == OptimizerKind::other)
    return skipped("no rule of the updates is declared");
  if (task.steps_per_update > 1 || task.mixes_targets || task.learning_rate <= 0)
    return skipped("the gradient of an update cannot be computed beside it");
  if (!is_fresh(task)) return skipped("the optimiser has been used before");
  std::map<std::string, Rule> rules;
  for (const nn::NamedTensor& each : task.model->parameters())
    rules.emplace(each.name, Rule(task.optimizer, static_cast<std::size_t>(each.tensor.elements()),
                                  each.tensor.shape().rank() > 1));
  Verdict verdict{.outcome = Outcome::pass,
                  .found = "updates are those of the optimiser's rule (relative difference)",
                  .measured = 0,
                  .expected = 0,
                  .tolerance = kRelative};
  task.model->train();
  std::int64_t number = 0;
  for (const Batch& batch : batches(task.train, kUpdates)) {
    const Snapshot start(task);
    start.restore();
    backward(task.loss(task.forward(batch.inputs), batch.targets));
    std::map<std::string, std::vector<float>> gradient, before;
    for (const nn::NamedTensor& each : task.model->parameters()) {
      before[each.name] = each.tensor.to_vector<float>();
      if (each.tensor.grad().defined()) gradient[each.name] = each.tensor.grad().to_vector<float>();
    }
    start.restore();
    const double rate = task.schedule ? task.schedule(number) : task.learning_rate;
    task.step(batch);
    ++number;
    for (const nn::NamedTensor& each : task.model->parameters()) {
      if (is_frozen(task, each.name) || !gradient.contains(each.name)) continue;
      const std::vector<float>& w = before[each.name];
      const Values expected =
          rules.at(each.name).update({w.begin(), w.end()}, gradient[each.name], rate);
      Values found = each.tensor.to_vector<double>();
      for (std::size_t i = 0; i < found.size(); ++i) found[i] -= w[i] + expected[i];
      // What f32 rounds away of the parameters themselves is no error of the rule.
      const double rounded = 1e-7 * norm(w);
      const double error =
          std::max(0.0, length(found) - rounded) / std::max(length(expected), 1e-30 + rounded);
      if (!(error <= verdict.measured)) verdict.measured = error;
      if (error <= kRelative) continue;  // NaN is not
      verdict.outcome = Outcome::fail;
      verdict.evidence.push_back(
          fmt::format("{}: update {} has length {:.4g} by the rule, and differs by {:.4g}",
                      each.name, number, length(expected), length(found)));
    }
  }
  if (verdict.outcome == Outcome::pass) return verdict;
  verdict.reasons = {"not-the-rule"};
  verdict.found = "updates are not those of the optimiser's rule (relative difference)";
  verdict.hint =
      "look at bias correction, momentum, the decay and the learning rate, or declare another rule";
  return verdict;
}

}  // namespace

Check optimizer_rule() {
  return {"optimizer_rule", "13: generalise a special case; 15: adam is safe",
          "Computes the first four updates of every parameter in f64 by the rule that is declared "
          "(SGD with momentum,\nNesterov and L2; Adam with decoupled decay) from gradients "
          "computed beside the steps. Updates may differ by 1 %.\nSource: Kingma & Ba 2015, "
          "arXiv:1412.6980, algorithm 1.",
          &run};
}

}  // namespace cucina::checks
