// Four of the essay's and its tweets' bugs, each a line or two.
#include "recipe/check/plants.h"

#include "core/autograd.h"
#include "core/random.h"
#include "kernels/softmax/softmax.h"
#include "recipe/data/loader.h"

namespace cucina::checks {
namespace {

template <typename T>
std::vector<T> at(const std::vector<T>& values, const std::vector<std::int64_t>& order) {
  std::vector<T> result;
  result.reserve(values.size());
  for (const std::int64_t i : order) result.push_back(values[static_cast<std::size_t>(i)]);
  return result;
}

}  // namespace

const std::vector<Plant>& plants() {
  static const std::vector<Plant> all{
      {"double-softmax", "a softmax before the loss that has one"},
      {"view-for-permute", "a batch whose axes are viewed where they should be permuted"},
      {"no-zero-grad", "gradients that are not forgotten between steps"},
      {"shuffled-labels", "training labels that belong to other images"},
  };
  return all;
}

Tensor rearranged(const Tensor& x, std::vector<std::int64_t> order) {
  const Tensor y = Tensor::from(at(x.to_vector<float>(), order), x.shape(), x.device());
  record("rearranged", y, {x}, {},
         [order = std::move(order)](const Tensor& dy, const Saved&, Gradients& gradients) {
           if (!gradients.wants(0)) return;
           const auto [dx, write] = gradients.slot(0);
           const std::vector<float> from = dy.to_vector<float>();
           std::vector<float> to =
               write == Write::accumulate ? dx.to_vector<float>() : std::vector<float>(from.size());
           for (std::size_t i = 0; i < from.size(); ++i)
             to[static_cast<std::size_t>(order[i])] += from[i];
           dx.copy_from(Tensor::from(to, dx.shape()));
         });
  return y;
}

Tensor viewed_for_permuted(const Tensor& x) {
  const std::int64_t n = x.size(0), d = x.elements() / n;
  std::vector<std::int64_t> order;
  order.reserve(static_cast<std::size_t>(x.elements()));
  for (std::int64_t j = 0; j < d; ++j) {
    for (std::int64_t i = 0; i < n; ++i) order.push_back(i * d + j);
  }
  return rearranged(x, std::move(order));
}

void plant_in_data(const std::string& name, data::Dataset* data) {
  if (name != "shuffled-labels") return;
  const RandomStream random(1, "plant");
  data->train.labels = at(data->train.labels, permutation(random, 0, data->train.n));
}

void plant(const std::string& name, skeleton::Trainer& trainer, Task* task) {
  const auto forward = task->forward;
  const auto step_with = [&](auto outputs_of, bool forgets) {
    task->step = [&trainer, loss = task->loss, outputs_of, forgets](const Batch& batch) {
      if (forgets) trainer.arena().clear_gradients();
      backward(loss(outputs_of(batch.inputs), batch.targets));
      trainer.arena().complete_gradients();
      trainer.optimizer().set_learning_rate(trainer.schedule().at(trainer.position()));
      trainer.set_position(trainer.position() + 1);
      trainer.optimizer().step();
    };
  };
  if (name == "double-softmax")
    task->forward = [forward](const Tensor& x) { return softmax(forward(x)); };
  if (name == "view-for-permute")
    task->forward = [forward](const Tensor& x) { return forward(viewed_for_permuted(x)); };
  if (name == "shuffled-labels") return;
  step_with(task->forward, name != "no-zero-grad");
  task->evaluate = nullptr;  // the trainer's has no part in the bug
  task->evaluated = nullptr;
}

}  // namespace cucina::checks
