// Gathers examples, outputs and losses.
#include "recipe/check/samples.h"

#include <algorithm>
#include <cmath>

#include "core/autograd.h"
#include "core/error.h"
#include "core/random.h"
#include "nn/layers.h"

namespace cucina::checks {
namespace {

Shape with_rows(const Shape& shape, std::int64_t n) {
  std::vector<std::int64_t> sizes(shape.sizes().begin(), shape.sizes().end());
  sizes[0] = n;
  return Shape(std::span<const std::int64_t>(sizes));
}

template <typename T>
Tensor joined(const std::vector<Batch>& parts, Tensor Batch::*which, std::int64_t n) {
  std::vector<T> all;
  for (const Batch& each : parts) {
    const std::vector<T> values = (each.*which).template to_vector<T>();
    all.insert(all.end(), values.begin(), values.end());
  }
  const Tensor& first = parts.front().*which;
  return Tensor::from(all, with_rows(first.shape(), n), first.device());
}

}  // namespace

bool has_labels(const Batch& batch) { return batch.targets.dtype() == DType::i32; }

Batch part(const Batch& batch, std::int64_t begin, std::int64_t end) {
  Batch result{batch.inputs.rows(begin, end).clone(), batch.targets.rows(begin, end).clone()};
  if (!batch.indices.empty())
    result.indices = {batch.indices.begin() + begin, batch.indices.begin() + end};
  return result;
}

std::vector<Batch> batches(const Loader& loader, std::int64_t most, std::int64_t size) {
  std::vector<Batch> result;
  loader(0, [&](const Batch& batch) {
    result.push_back(batch.size() > size ? part(batch, 0, size) : batch);
    return static_cast<std::int64_t>(result.size()) < most;
  });
  return result;
}

Batch take(const Loader& loader, std::int64_t most, std::int64_t epoch) {
  std::vector<Batch> parts;
  std::int64_t n = 0;
  loader(epoch, [&](const Batch& batch) {
    const std::int64_t wanted = std::min(batch.size(), most - n);
    parts.push_back(wanted < batch.size() ? part(batch, 0, wanted) : batch);
    n += wanted;
    return n < most;
  });
  if (n == 0) fail(ExitCode::bad_file, "check: a loader delivers no examples; give it some");
  if (parts.size() == 1) return parts.front();
  Batch result{joined<float>(parts, &Batch::inputs, n),
               has_labels(parts.front()) ? joined<std::int32_t>(parts, &Batch::targets, n)
                                         : joined<float>(parts, &Batch::targets, n)};
  for (const Batch& each : parts)
    result.indices.insert(result.indices.end(), each.indices.begin(), each.indices.end());
  return result;
}

Rows rows_of(const Loader& loader, std::int64_t most, std::int64_t epoch) {
  const Batch all = take(loader, most, epoch);
  Rows rows{.n = all.size(),
            .d = all.inputs.elements() / all.size(),
            .x = all.inputs.to_vector<float>(),
            .labels = {},
            .y = {},
            .indices = all.indices};
  if (has_labels(all)) {
    rows.labels = all.targets.to_vector<std::int32_t>();
  } else {
    rows.y = all.targets.to_vector<float>();
  }
  return rows;
}

Tensor evaluated(const Task& task, const Tensor& inputs) {
  const nn::ScopedEvaluation evaluation(*task.model);
  const NoGrad no_grad;
  return task.evaluated ? task.evaluated(inputs) : task.forward(inputs);
}

double loss_of(const Task& task, const Tensor& outputs, const Tensor& targets) {
  const NoGrad no_grad;
  return task.loss(outputs, targets).item();
}

std::vector<double> losses_of(const Task& task, const Tensor& outputs, const Tensor& targets) {
  std::vector<double> losses;
  for (std::int64_t i = 0; i < outputs.size(0); ++i)
    losses.push_back(loss_of(task, outputs.rows(i, i + 1).clone(), targets.rows(i, i + 1).clone()));
  return losses;
}

Tensor noise_like(const Tensor& like, std::string_view name, double deviation) {
  const RandomStream random(1, name);
  std::vector<float> values(static_cast<std::size_t>(like.elements()));
  for (std::size_t i = 0; i < values.size(); ++i)
    values[i] = static_cast<float>(deviation) * random.normal(0, i);
  return Tensor::from(values, like.shape(), like.device());
}

void shake_parameters(const Task& task) {
  for (const nn::NamedTensor& each : task.model->parameters()) {
    std::vector<float> values = each.tensor.to_vector<float>();
    const double size = norm(values) / std::sqrt(static_cast<double>(values.size()));
    const std::vector<float> shift =
        noise_like(each.tensor, each.name, std::max(0.05, size / 4)).to_vector<float>();
    for (std::size_t i = 0; i < values.size(); ++i) values[i] += shift[i];
    each.tensor.copy_from(Tensor::from(values, each.tensor.shape()));
  }
}

std::vector<std::int32_t> predictions(const Tensor& outputs) {
  const std::vector<float> values = outputs.to_vector<float>();
  const auto classes = static_cast<std::size_t>(outputs.size(1));
  std::vector<std::int32_t> result;
  for (std::size_t i = 0; i < values.size(); i += classes) {
    const auto row = values.begin() + static_cast<std::ptrdiff_t>(i);
    const auto end = row + static_cast<std::ptrdiff_t>(classes);
    result.push_back(static_cast<std::int32_t>(std::max_element(row, end) - row));
  }
  return result;
}

void evaluate_all_but_random(nn::Module& model) {
  model.train(false);
  for (nn::Module* each : model.modules()) {
    if (dynamic_cast<nn::RandomModule*>(each) != nullptr) each->train(true);
  }
}

void train_all_but_random(nn::Module& model) {
  model.train(true);
  for (nn::Module* each : model.modules()) {
    if (dynamic_cast<nn::RandomModule*>(each) != nullptr) each->train(false);
  }
}

bool has_random_layers(nn::Module& model) {
  const std::vector<nn::Module*> all = model.modules();
  return std::any_of(all.begin(), all.end(), [](nn::Module* each) {
    return dynamic_cast<nn::RandomModule*>(each) != nullptr;
  });
}

Moments moments(std::span<const double> values) {
  Moments result;
  const auto n = static_cast<double>(values.size());
  if (values.empty()) return result;
  for (const double value : values) result.mean += value / n;
  double squares = 0;
  for (const double value : values) squares += (value - result.mean) * (value - result.mean);
  if (values.size() > 1) result.deviation = std::sqrt(squares / (n - 1));
  result.error = result.deviation / std::sqrt(n);
  return result;
}

double dot(std::span<const float> a, std::span<const float> b) {
  double sum = 0;
  for (std::size_t i = 0; i < a.size(); ++i) sum += static_cast<double>(a[i]) * b[i];
  return sum;
}

double norm(std::span<const float> values) { return std::sqrt(dot(values, values)); }

}  // namespace cucina::checks
