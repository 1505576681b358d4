// Saves and restores what a training set-up changes.
#include "recipe/check/task.h"

#include <algorithm>

#include "core/error.h"
#include "recipe/data/sha256.h"

namespace cucina::checks {

Task task_for(std::shared_ptr<nn::Module> model) {
  if (model == nullptr) fail("task: there is no model; give one");
  Task task;
  task.model = std::move(model);
  task.forward = [net = task.model.get()](const Tensor& inputs) { return net->forward(inputs); };
  for (const nn::NamedTensor& each : task.model->parameters()) {
    if (!each.tensor.requires_grad()) task.frozen.push_back(each.name);
  }
  return task;
}

Counted counted(Loader loader) {
  const auto count = std::make_shared<std::int64_t>(0);
  return {.loader =
              [loader = std::move(loader), count](std::int64_t epoch, const Visit& visit) {
                ++*count;
                loader(epoch, visit);
              },
          .reads = [count] { return *count; }};
}

void add_state(Task* task, optim::Optimizer& optimizer) {
  for (const optim::OptimizerState& state : optimizer.state())
    task->state.push_back({"optimizer." + state.name + "." + std::to_string(state.offset),
                           state.tensor, std::nullopt});
  task->save = [save = task->save, &optimizer] {
    std::vector<double> saved{optimizer.learning_rate(), optimizer.steps().item()};
    if (!save) return saved;
    const std::vector<double> before = save();
    saved.insert(saved.end(), before.begin(), before.end());
    return saved;
  };
  task->restore = [restore = task->restore, &optimizer](const std::vector<double>& saved) {
    optimizer.set_learning_rate(saved[0]);
    // Not by their tensor: an optimiser may be made of several, each with steps of its own.
    optimizer.set_steps(static_cast<std::int64_t>(saved[1]));
    if (restore) restore({saved.begin() + 2, saved.end()});
  };
}

std::vector<nn::NamedTensor> tensors_of(const Task& task) {
  std::vector<nn::NamedTensor> all = task.model->parameters();
  const std::vector<nn::NamedTensor> buffers = task.model->buffers();
  all.insert(all.end(), buffers.begin(), buffers.end());
  all.insert(all.end(), task.state.begin(), task.state.end());
  return all;
}

Snapshot::Snapshot(const Task& task) : task_(task), tensors_(tensors_of(task)) {
  for (const nn::NamedTensor& each : tensors_) values_.push_back(each.tensor.clone());
  if (task.save) saved_ = task.save();
  for (const nn::Module* each : task.model->modules()) training_.push_back(each->training());
}

void Snapshot::restore(bool keep_gradients) const {
  for (std::size_t i = 0; i < tensors_.size(); ++i) tensors_[i].tensor.copy_from(values_[i]);
  if (task_.restore) task_.restore(saved_);
  // Parents come before their children, so that each child's own mode is the last word.
  const std::vector<nn::Module*> modules = task_.model->modules();
  for (std::size_t i = 0; i < modules.size(); ++i) modules[i]->train(training_[i]);
  if (keep_gradients) return;
  for (const nn::NamedTensor& parameter : task_.model->parameters()) parameter.tensor.clear_grad();
}

std::string Snapshot::fingerprint() const {
  data::Sha256 sha;
  for (std::size_t i = 0; i < tensors_.size(); ++i) {
    sha.update(tensors_[i].name.data(), tensors_[i].name.size());
    const Tensor host = values_[i].to(Device::cpu);
    sha.update(host.raw(), host.bytes());
  }
  sha.update(saved_.data(), saved_.size() * sizeof(double));
  for (const bool training : training_) sha.update(training ? "t" : "e", 1);
  return sha.hex();
}

bool is_frozen(const Task& task, const std::string& parameter) {
  return std::any_of(task.frozen.begin(), task.frozen.end(),
                     [&](const std::string& prefix) { return parameter.starts_with(prefix); });
}

}  // namespace cucina::checks
