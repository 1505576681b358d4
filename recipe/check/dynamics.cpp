// Records predictions between updates.
#include "recipe/check/dynamics.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "core/autograd.h"
#include "kernels/softmax/softmax.h"
#include "recipe/check/samples.h"

namespace cucina::checks {
namespace {

std::vector<float> probabilities(const Task& task, const Tensor& inputs) {
  const NoGrad no_grad;
  return softmax(evaluated(task, inputs)).to_vector<float>();
}

// Half the sum of absolute differences, mean over examples.
double distance(const std::vector<float>& a, const std::vector<float>& b, std::int64_t n) {
  double sum = 0;
  for (std::size_t i = 0; i < a.size(); ++i) sum += std::abs(double(a[i]) - b[i]);
  return sum / 2 / static_cast<double>(n);
}

std::ptrdiff_t largest(const std::vector<float>& p, std::int64_t i, std::int64_t classes) {
  const auto row = p.begin() + i * classes;
  return std::max_element(row, row + classes) - row;
}

}  // namespace

Dynamics record_dynamics(const Task& task, const Tensor& inputs, std::int64_t updates) {
  Dynamics result;
  result.n = inputs.size(0);
  result.probabilities.push_back(probabilities(task, inputs));
  result.classes = static_cast<std::int64_t>(result.probabilities.front().size()) / result.n;
  task.model->train();
  std::int64_t done = 0;
  for (std::int64_t epoch = 0; done < updates; ++epoch) {
    const std::int64_t before = done;
    task.train(epoch, [&](const Batch& batch) {
      for (int i = 0; i < task.steps_per_update; ++i) task.step(batch);
      result.probabilities.push_back(probabilities(task, inputs));
      return ++done < updates;
    });
    if (done == before) break;
  }
  const auto& all = result.probabilities;
  for (std::size_t t = 1; t < all.size(); ++t) {
    result.jitter += distance(all[t - 1], all[t], result.n) / static_cast<double>(all.size() - 1);
    for (std::int64_t i = 0; i < result.n; ++i)
      result.flips += largest(all[t - 1], i, result.classes) != largest(all[t], i, result.classes);
  }
  result.travel = distance(all.front(), all.back(), result.n);
  return result;
}

std::string to_csv(const Dynamics& dynamics) {
  std::string text = "update,example,class,probability\n";
  for (std::size_t t = 0; t < dynamics.probabilities.size(); ++t) {
    for (std::size_t i = 0; i < dynamics.probabilities[t].size(); ++i)
      text +=
          fmt::format("{},{},{},{:.9g}\n", t, i / static_cast<std::size_t>(dynamics.classes),
                      i % static_cast<std::size_t>(dynamics.classes), dynamics.probabilities[t][i]);
  }
  return text;
}

}  // namespace cucina::checks
