// Records steps and launches them.
#include "recipe/skeleton/step_graphs.h"

#include <utility>

#include "core/error.h"

namespace cucina::skeleton {
namespace {

std::vector<std::int32_t> read(const std::vector<Tensor>& counters) {
  std::vector<std::int32_t> counts;
  for (const Tensor& counter : counters) counts.push_back(*counter.data<std::int32_t>());
  return counts;
}

}  // namespace

StepGraphs::StepGraphs(Work work, std::vector<Tensor> counters)
    : work_(std::move(work)), counters_(std::move(counters)) {}

StepOutcome StepGraphs::run(const data::Loader& loader, std::span<const std::int64_t> indices) {
  Plan& plan = plans_[indices.size()];
  const auto n = static_cast<std::int64_t>(indices.size());
  if (!plan.choice.defined()) plan.choice = Tensor::empty({2, n}, DType::i32, Device::cuda);
  loader.choose(indices, plan.choice);
  if (plan.has_run && plan.graph == nullptr && refusal_.empty()) record(plan);
  plan.has_run = true;
  if (plan.graph == nullptr) return work_(plan.choice);
  plan.graph->launch();
  for (std::size_t i = 0; i < counters_.size(); ++i)
    *counters_[i].data<std::int32_t>() += plan.counts[i];
  return plan.outcome;
}

void StepGraphs::record(Plan& plan) {
  const std::int64_t n = plan.choice.size(1);
  plan.outcome = {.losses = Tensor::empty({n}, DType::f32, Device::cuda),
                  .correct = Tensor::empty({n}, DType::i32, Device::cuda)};
  const std::vector<std::int32_t> before = read(counters_);
  try {
    plan.graph = std::make_unique<CudaGraph>([&] {
      const StepOutcome outcome = work_(plan.choice);
      plan.outcome.losses.copy_from(outcome.losses);
      plan.outcome.correct.copy_from(outcome.correct);
    });
  } catch (const Error& error) {
    refusal_ = error.what();
  }
  // Nothing was done yet, so nothing is counted yet.
  plan.counts = read(counters_);
  for (std::size_t i = 0; i < counters_.size(); ++i) {
    plan.counts[i] -= before[i];
    *counters_[i].data<std::int32_t>() = before[i];
  }
}

}  // namespace cucina::skeleton
