// Tip 13, generalise a special case: the gradients that backward hands over are those of forward,
// as differences of forward say.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "core/autograd.h"
#include "core/random.h"
#include "recipe/check/check.h"
#include "recipe/check/samples.h"

namespace cucina::checks {
namespace {

constexpr std::int64_t kExamples = 8;
constexpr std::size_t kTensors = 16;  // of more, so many are looked at
constexpr int kDirections = 3;
// How far a step goes: it changes the outputs by so much of themselves, but parameters by no more
// than twice that of them. Shorter steps meet fewer kinks of relu and max pooling.
constexpr double kChanges[] = {0.01, 0.001, 0.0001};
constexpr double kRelative = 0.1;
constexpr double kRoundings = 100;  // of the outputs; a difference below is not to be judged

// The outputs in f64, weighted at random and summed: what is differentiated.
struct Objective {
  std::vector<double> weights;

  explicit Objective(const Tensor& outputs) {
    const std::vector<float> noise = noise_like(outputs, "objective", 1).to_vector<float>();
    weights.assign(noise.begin(), noise.end());
  }
  double operator()(const Tensor& outputs) const {
    const std::vector<double> y = outputs.to_vector<double>();
    double sum = 0;
    for (std::size_t i = 0; i < y.size(); ++i) sum += weights[i] * y[i];
    return sum;
  }
};

using Values = std::vector<float>;

// Parts of the gradient, so that an error in some elements cannot hide behind the others: the whole
// first, then random halves.
Values direction(const Values& gradient, int which) {
  const RandomStream random(1, "halves");
  Values v = gradient;
  for (std::size_t i = 0; i < v.size() && which > 0; ++i) {
    if (random.below(static_cast<std::uint32_t>(which), i, 2) == 0) v[i] = 0;
  }
  const double length = norm(v);
  for (float& each : v) each = length > 0 ? static_cast<float>(each / length) : 0;
  return v;
}

struct Comparison {
  double claimed = 0, measured = 0;
  bool judged = false;  // the difference is above rounding
  double error() const { return std::abs(claimed - measured) / std::abs(claimed); }
};

Comparison compare(const Task& task, const Tensor& inputs, const Objective& objective,
                   const Tensor& parameter, const Values& gradient, int which, double change) {
  const Values start = parameter.to_vector<float>(), v = direction(gradient, which);
  Comparison result{.claimed = dot(gradient, v)};
  if (result.claimed == 0) return result;
  const NoGrad no_grad;
  double size = 0;
  for (const double y : task.forward(inputs).to_vector<double>()) size += y * y;
  size = std::sqrt(size);
  const double most = 2 * change * std::max(norm(start), 0.05 * std::sqrt(double(start.size())));
  const double h = std::min(change * size / std::abs(result.claimed), most);
  const auto at = [&](double step) {
    Values moved = start;
    for (std::size_t i = 0; i < moved.size(); ++i)
      moved[i] = static_cast<float>(moved[i] + step * v[i]);
    parameter.copy_from(Tensor::from(moved, parameter.shape()));
    return objective(task.forward(inputs));
  };
  result.measured = (at(h) - at(-h)) / (2 * h);
  parameter.copy_from(Tensor::from(start, parameter.shape()));
  result.judged = h * std::abs(result.claimed) > kRoundings * task.rounding * size;
  return result;
}

Verdict run(const Task& task) {
  const Tensor inputs = take(task.plain ? task.plain : task.train, kExamples).inputs;
  shake_parameters(task);
  train_all_but_random(*task.model);
  const Snapshot before(task);
  before.restore();
  const Tensor outputs = task.forward(inputs);
  const Objective objective(outputs);
  if (!outputs.requires_grad()) return skipped("no parameter reaches the outputs");
  backward(outputs, {}, noise_like(outputs, "objective", 1));
  std::vector<nn::NamedTensor> tensors;
  std::vector<Values> gradients;
  for (const nn::NamedTensor& each : task.model->parameters()) {
    if (is_frozen(task, each.name) || !each.tensor.grad().defined()) continue;
    tensors.push_back(each);
    gradients.push_back(each.tensor.grad().to_vector<float>());
  }
  before.restore();
  Verdict verdict{.outcome = Outcome::pass,
                  .found = "gradients are forward's slopes (largest relative difference)",
                  .measured = 0,
                  .expected = 0,
                  .tolerance = kRelative};
  std::size_t judged = 0;
  const std::size_t n = std::min(kTensors, tensors.size());
  for (std::size_t i = 0; i < n; ++i) {
    const std::size_t at = i * tensors.size() / n;
    Comparison worst;
    for (int which = 0; which < kDirections; ++which) {
      Comparison found;
      for (const double change : kChanges) {
        const Comparison closer =
            compare(task, inputs, objective, tensors[at].tensor, gradients[at], which, change);
        if (closer.judged && (!found.judged || closer.error() < found.error())) found = closer;
        if (!closer.judged || found.error() <= kRelative / 4) break;
      }
      if (found.judged && (!worst.judged || !(found.error() <= worst.error()))) worst = found;
    }
    before.restore();
    if (!worst.judged) continue;
    ++judged;
    if (!(worst.error() <= verdict.measured)) verdict.measured = worst.error();
    if (worst.error() <= kRelative) continue;  // NaN is not
    verdict.outcome = Outcome::fail;
    verdict.evidence.push_back(fmt::format("{}: slope {:.4g} by backward, {:.4g} by differences",
                                           tensors[at].name, worst.claimed, worst.measured));
  }
  if (judged == 0) return skipped("rounding hides the slopes, or there are none");
  if (verdict.outcome == Outcome::pass) return verdict;
  verdict.reasons = {"wrong-gradient"};
  verdict.found = "gradients are not the slopes of forward (largest relative difference)";
  verdict.hint =
      "an op's backward is wrong, of the first of these layers or behind it: cucina gradcheck "
      "looks at each of ours; compare your own with loops: differential()";
  return verdict;
}

}  // namespace

Check gradcheck() {
  return {"gradcheck", "13: generalise a special case",
          "Moves parameters a little along their gradient, and along random halves of it, and "
          "compares how the outputs\n(weighted at random, in f64) change with what backward says. "
          "Of more than 16 tensors every so many-th is looked\nat. Batch normalisation uses the "
          "batch's statistics, dropout is off, parameters are shaken first. Differences\nabove "
          "10 % fail, where they are above rounding.\nSource: Karpathy 2019, \"generalize a "
          "special case\".",
          &run};
}

}  // namespace cucina::checks
