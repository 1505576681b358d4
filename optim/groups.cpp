// Passes every call on to the groups.
#include "optim/groups.h"

#include "core/error.h"

namespace cucina::optim {

Groups::Groups(const Flat& flat, std::vector<Group> groups, double learning_rate)
    : Optimizer(flat, learning_rate), groups_(std::move(groups)) {
  if (groups_.empty()) fail("optimizer: no group of parameters; give one at least");
  set_learning_rate(learning_rate);
}

void Groups::step() {
  for (const Group& group : groups_) group.optimizer->step();
}

void Groups::set_learning_rate(double value) {
  Optimizer::set_learning_rate(value);
  for (const Group& group : groups_) group.optimizer->set_learning_rate(value * group.rate_ratio);
}

std::vector<OptimizerState> Groups::state() const {
  std::vector<OptimizerState> all;
  for (const Group& group : groups_)
    for (const auto& [name, tensor, at] : group.optimizer->state())
      all.push_back({name, tensor, group.begin + at});
  return all;
}

void Groups::set_steps(std::int64_t steps) {
  Optimizer::set_steps(steps);
  for (const Group& group : groups_) group.optimizer->set_steps(steps);
}

std::string Groups::describe() const {
  std::string text;
  for (const Group& group : groups_)
    text += (text.empty() ? "" : "; ") + group.optimizer->describe();
  return text;
}

}  // namespace cucina::optim
