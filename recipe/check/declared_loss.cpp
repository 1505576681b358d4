// Losses in f64, written as their definitions.
#include "recipe/check/declared_loss.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "core/error.h"

namespace cucina::checks {
namespace {

double log_sum_exp(std::span<const double> z) {
  const double largest = *std::max_element(z.begin(), z.end());
  double sum = 0;
  for (const double value : z) sum += std::exp(value - largest);
  return largest + std::log(sum);
}

double cross_entropy(const DeclaredLoss& declared, std::span<const double> z, std::size_t label) {
  const double log_total = log_sum_exp(z);
  const double even = declared.label_smoothing / static_cast<double>(z.size());
  double loss = 0;
  for (std::size_t k = 0; k < z.size(); ++k) {
    const double q = (k == label ? 1 - declared.label_smoothing : 0) + even;
    const double weight = declared.class_weights.empty() ? 1 : declared.class_weights[k];
    if (q > 0) loss += weight * q * (log_total - z[k]);
  }
  return loss;
}

double pointwise(const DeclaredLoss& declared, double z, double t) {
  const double e = std::abs(z - t);
  if (declared.kind == LossKind::mse) return e * e;
  if (declared.kind == LossKind::huber)
    return e <= declared.delta ? e * e / 2 : declared.delta * (e - declared.delta / 2);
  return std::max(z, 0.0) - z * t + std::log1p(std::exp(-std::abs(z)));
}

double entropy(double p) { return p > 0 ? -p * std::log(p) : 0; }

// Numbers per example.
std::int64_t width(const Tensor& tensor) { return tensor.elements() / tensor.size(0); }

}  // namespace

std::vector<double> declared_losses(const DeclaredLoss& declared, const Tensor& outputs,
                                    const Tensor& targets) {
  if (declared.kind == LossKind::other) fail("declared_losses: the loss is declared as other");
  const std::int64_t n = outputs.size(0), k = width(outputs);
  if (targets.size(0) != n) fail("declared_losses: {} outputs, {} targets", n, targets.size(0));
  const std::vector<double> z = outputs.to_vector<double>();
  const bool labels = targets.dtype() == DType::i32;
  if (labels != (declared.kind == LossKind::cross_entropy))
    fail("declared_losses: targets of {} do not suit the declared loss", name(targets.dtype()));
  if (!labels && width(targets) != k)
    fail("declared_losses: {} numbers per output, {} per target", k, width(targets));
  const std::vector<double> t = targets.to_vector<double>();
  std::vector<double> losses;
  for (std::int64_t i = 0; i < n; ++i) {
    const std::span row(z.data() + i * k, static_cast<std::size_t>(k));
    if (labels) {
      losses.push_back(cross_entropy(declared, row, static_cast<std::size_t>(t[i])));
      continue;
    }
    double sum = 0;
    for (std::int64_t j = 0; j < k; ++j) sum += pointwise(declared, row[j], t[i * k + j]);
    losses.push_back(sum / static_cast<double>(k));
  }
  return losses;
}

double declared_loss(const DeclaredLoss& declared, const Tensor& outputs, const Tensor& targets) {
  const std::vector<double> losses = declared_losses(declared, outputs, targets);
  const double sum = std::accumulate(losses.begin(), losses.end(), 0.0);
  if (declared.kind == LossKind::cross_entropy) {
    if (declared.sum) return sum;
    if (declared.class_weights.empty()) return sum / static_cast<double>(losses.size());
    double weights = 0;
    for (const std::int32_t label : targets.to_vector<std::int32_t>())
      weights += declared.class_weights[static_cast<std::size_t>(label)];
    return sum / weights;
  }
  return declared.sum ? sum * static_cast<double>(width(outputs))
                      : sum / static_cast<double>(losses.size());
}

double constant_guess(const DeclaredLoss& declared, const Tensor& targets, int classes) {
  const std::vector<double> t = targets.to_vector<double>();
  const std::int64_t n = targets.size(0), k = width(targets);
  double guess = 0;
  if (declared.kind == LossKind::cross_entropy) {
    std::vector<double> counts(static_cast<std::size_t>(classes));
    for (const double label : t) {
      if (label < 0 || label >= classes)
        fail(ExitCode::bad_file, "check: a label is {}, of {} classes", label, classes);
      counts[static_cast<std::size_t>(label)] += 1;
    }
    for (const double count : counts) {
      const double p = count / static_cast<double>(n);
      guess += entropy(p * (1 - declared.label_smoothing) + declared.label_smoothing / classes);
    }
    return guess;
  }
  for (std::int64_t j = 0; j < k; ++j) {
    std::vector<double> column;
    for (std::int64_t i = 0; i < n; ++i) column.push_back(t[i * k + j]);
    const double mean = std::accumulate(column.begin(), column.end(), 0.0) / double(n);
    if (declared.kind == LossKind::binary_cross_entropy) {
      guess += (entropy(mean) + entropy(1 - mean)) / double(k);
      continue;
    }
    // The mean, or for Huber's loss nearly the median, is the best constant.
    std::nth_element(column.begin(), column.begin() + n / 2, column.end());
    const double best = declared.kind == LossKind::mse ? mean : column[n / 2];
    for (const double value : column)
      guess += pointwise(declared, best, value) / double(n) / double(k);
  }
  return guess;
}

double floor_of(const DeclaredLoss& declared, int classes) {
  if (declared.kind != LossKind::cross_entropy || declared.label_smoothing == 0) return 0;
  const double even = declared.label_smoothing / classes;
  return entropy(1 - declared.label_smoothing + even) + (classes - 1) * entropy(even);
}

double double_softmax_floor(int classes) { return std::log(std::exp(1.0) + classes - 1) - 1; }

}  // namespace cucina::checks
