// Adds up losses and hits example by example.
#include "recipe/skeleton/evaluate.h"

#include <cmath>

#include "core/autograd.h"
#include "core/error.h"
#include "kernels/softmax_cross_entropy/softmax_cross_entropy.h"

namespace cucina::skeleton {

double MeanAccumulator::error() const {
  if (state_.n < 2) return 0;
  const auto n = static_cast<double>(state_.n);
  return std::sqrt(state_.squares / (n - 1) / n);
}

Evaluation evaluate(const nn::Model& model, const data::Loader& loader) {
  const data::ImageSet& set = loader.set();
  const nn::ModelSpec& spec = model.spec;
  if (set.h != spec.h || set.w != spec.w || set.c != spec.c || set.classes > spec.classes)
    fail(
        ExitCode::bad_file,
        "evaluate: the data are {}x{}x{} in {} classes but model {} takes {}x{}x{} in {}; give the "
        "data it was trained on",
        set.h, set.w, set.c, set.classes, spec.name, spec.h, spec.w, spec.c, spec.classes);
  const nn::ScopedEvaluation evaluation(*model.net);
  const NoGrad no_grad;
  Evaluation result;
  result.classes.resize(static_cast<std::size_t>(spec.classes));
  MeanAccumulator loss;
  for (std::int64_t i = 0; i < loader.batches(); ++i) {
    const data::Batch batch = loader.in_order(i);
    const SoftmaxCrossEntropy outcome = softmax_cross_entropy(model(batch.images), batch.labels);
    const std::vector<float> losses = outcome.losses.to_vector<float>();
    const std::vector<std::int32_t> correct = outcome.correct.to_vector<std::int32_t>();
    for (std::size_t j = 0; j < losses.size(); ++j) {
      const auto index = static_cast<std::size_t>(i * loader.batch_size()) + j;
      ClassResult& of_class = result.classes[static_cast<std::size_t>(set.labels[index])];
      loss.add(losses[j]);
      ++of_class.n;
      of_class.correct += correct[j];
      result.correct += correct[j];
    }
  }
  result.n = loss.n();
  result.loss = loss.mean();
  result.loss_error = loss.error();
  if (result.n > 0) {
    const auto n = static_cast<double>(result.n);
    result.accuracy = static_cast<double>(result.correct) / n;
    result.accuracy_error = std::sqrt(result.accuracy * (1 - result.accuracy) / n);
  }
  return result;
}

}  // namespace cucina::skeleton
