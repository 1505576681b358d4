// Groups: parts of the values with an optimiser, a learning rate and a weight decay of their own.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "optim/optimizer.h"

namespace cucina::optim {

// An optimiser of the values [begin, begin + its own number), whose rate is the common one times
// `rate_ratio`.
struct Group {
  std::int64_t begin = 0;
  double rate_ratio = 1;
  std::unique_ptr<Optimizer> optimizer;
};

class Groups : public Optimizer {
 public:
  //   throws   Error when there is no group
  Groups(const Flat& flat, std::vector<Group> groups, double learning_rate);
  void step() override;
  const Tensor& steps() const override { return groups_.front().optimizer->steps(); }
  // The common rate: each group's keeps its ratio to it.
  void set_learning_rate(double value) override;
  std::vector<OptimizerState> state() const override;
  void set_steps(std::int64_t steps) override;
  std::string describe() const override;

 private:
  std::vector<Group> groups_;
};

}  // namespace cucina::optim
