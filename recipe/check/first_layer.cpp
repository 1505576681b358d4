// Watches a step, and searches deliveries.
#include "recipe/check/first_layer.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "core/op_watcher.h"
#include "recipe/data/sha256.h"

namespace cucina::checks {
namespace {

constexpr std::int64_t kSearched = 2048;  // for golden examples

// Recorded ops are those that reach parameters: whatever is done to the inputs before the first
// layer is not among them.
class Readers : public OpWatcher {
 public:
  Readers(const Tensor& delivered, FirstRead* found)
      : delivered_(delivered.to(Device::cpu)), found_(found) {
    set_op_watcher(this);
  }
  ~Readers() override { set_op_watcher(before_); }
  Readers(const Readers&) = delete;
  Readers& operator=(const Readers&) = delete;

  void ran(const OpRun& run) override {
    if (run.operands == nullptr || run.operands->empty() || !run.operands->front().defined())
      return;
    ++found_->ops;
    if (!found_->op.empty()) return;
    // The first part of it, where a step goes through its batch in parts.
    const Tensor x = run.operands->front().detach().to(Device::cpu);
    const bool fits = x.dtype() == delivered_.dtype() && x.bytes() <= delivered_.bytes() &&
                      x.bytes() * delivered_.size(0) >= delivered_.bytes();
    if (!fits || std::memcmp(x.raw(), delivered_.raw(), x.bytes()) != 0) return;
    found_->op = run.name;
    found_->tensor = x.clone();
  }

 private:
  OpWatcher* before_ = op_watcher();
  Tensor delivered_;
  FirstRead* found_;
};

double decibels(const Golden& golden, std::span<const float> x, const Task& task) {
  double squares = 0;
  const std::size_t channels = task.mean.size();
  for (std::size_t i = 0; i < x.size(); ++i) {
    const double pixel = x[i] * task.stddev[i % channels] + task.mean[i % channels];
    squares += (pixel - golden.pixels[i]) * (pixel - golden.pixels[i]) / double(x.size());
  }
  return squares == 0 ? 200 : 10 * std::log10(task.max_value * task.max_value / squares);
}

}  // namespace

FirstRead read_by_a_layer(const Task& task, const Batch& batch) {
  FirstRead found;
  const Readers readers(batch.inputs, &found);
  task.model->train();
  task.step(batch);
  return found;
}

std::vector<GoldenSeen> find_golden(const Task& task) {
  std::vector<GoldenSeen> all;
  if (task.golden.empty() || task.mean.empty()) return all;
  const Rows rows = rows_of(task.plain ? task.plain : task.train, kSearched);
  for (const Golden& each : task.golden) {
    const auto at = std::find(rows.indices.begin(), rows.indices.end(), each.index);
    if (at == rows.indices.end() || static_cast<std::int64_t>(each.pixels.size()) != rows.d)
      continue;
    const std::int64_t i = at - rows.indices.begin();
    all.push_back({.golden = &each,
                   .inputs = {rows.row(i).begin(), rows.row(i).end()},
                   .decibels = decibels(each, rows.row(i), task),
                   .label_is_right = rows.labels.empty() || rows.labels[i] == each.label});
  }
  return all;
}

std::string hash_of(const Tensor& tensor) {
  data::Sha256 sha;
  const Tensor host = tensor.to(Device::cpu);
  sha.update(host.raw(), host.bytes());
  return sha.hex();
}

}  // namespace cucina::checks
