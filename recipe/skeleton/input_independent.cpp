// Tip 7, input-independent baseline: trained on blank inputs the network must do worse than on real
// ones, each on held-out inputs of its own kind.
#include <fmt/format.h>

#include <cmath>

#include "core/autograd.h"
#include "nn/models.h"
#include "recipe/check/check.h"
#include "recipe/check/samples.h"

namespace cucina::checks {
namespace {

// How long it trains. Most need but the first length to be clear beyond doubt.
struct Length {
  std::int64_t steps = 0;
  std::int64_t images = 0;  // whichever comes first
  double clear = 0;         // standard errors of a difference that is enough
};
constexpr Length kLengths[] = {{50, 800, 6}, {200, 3200, 2.5}};
constexpr std::int64_t kBatch = 32;  // of large ones: many steps tell more than large ones
constexpr std::int64_t kHeldOut = 400;
constexpr std::int64_t kFew = 100;  // fewer decide nothing
constexpr double kClear = kLengths[1].clear;
constexpr double kNothing = 1;  // standard errors: inputs do not help
// Of the blind mean: a few certain mistakes are not to outweigh all others.
constexpr double kCap = 4;

Batch blank(const Batch& batch) {
  return {Tensor::zeros(batch.inputs.shape(), batch.inputs.dtype(), batch.inputs.device()),
          batch.targets, batch.indices};
}

// The held-out losses in evaluation mode, or with the batch's own statistics where that is lower:
// batch normalisation's running ones are behind after few steps.
std::vector<double> held_out_losses(const Task& task, const Batch& batch) {
  std::vector<double> losses = losses_of(task, evaluated(task, batch.inputs), batch.targets);
  if (!nn::has_batch_norm(*task.model)) return losses;
  train_all_but_random(*task.model);
  const NoGrad no_grad;
  std::vector<double> of_batch = losses_of(task, task.forward(batch.inputs), batch.targets);
  return moments(of_batch).mean < moments(losses).mean ? of_batch : losses;
}

// The held-out losses of a training on inputs as they are, or on blank ones.
std::vector<double> train(const Task& task, const Length& length, const Batch& held_out,
                          bool blanked) {
  const Snapshot before(task);
  task.model->train();
  std::int64_t steps = 0, images = 0;
  const auto enough = [&] { return steps >= length.steps || images >= length.images; };
  for (std::int64_t epoch = 0; !enough(); ++epoch) {
    const std::int64_t so_far = images;
    task.train(epoch, [&](const Batch& batch) {
      const Batch few = batch.size() > kBatch ? part(batch, 0, kBatch) : batch;
      task.step(blanked ? blank(few) : few);
      ++steps;
      images += few.size();
      return !enough();
    });
    if (images == so_far) break;
  }
  std::vector<double> losses = held_out_losses(task, blanked ? blank(held_out) : held_out);
  before.restore();
  return losses;
}

// What inputs save, example by example, after trainings of one length.
struct Gap {
  Moments real, blind, gain;
  bool is_clear(double errors) const { return gain.mean > errors * gain.error && gain.mean > 0; }
};

Gap gap_of(const Task& task, const Length& length, const Batch& held_out) {
  const std::vector<double> real = train(task, length, held_out, false);
  const std::vector<double> without = train(task, length, held_out, true);
  Gap gap{.real = moments(real), .blind = moments(without), .gain = {}};
  const auto capped = [&](double value) {
    return value > kCap * gap.blind.mean && gap.blind.mean > 0 ? kCap * gap.blind.mean : value;
  };
  std::vector<double> gains;
  for (std::size_t i = 0; i < real.size(); ++i)
    gains.push_back(capped(without[i]) - capped(real[i]));
  gap.gain = moments(gains);
  return gap;
}

Verdict run(const Task& task) {
  if (!task.step || !task.validation) return skipped("there is no step or no validation");
  const Batch held_out = take(task.validation, kHeldOut);
  Gap found;
  for (const Length& length : kLengths) {
    found = gap_of(task, length, held_out);
    if (found.is_clear(length.clear)) break;
  }
  const auto& [loss, blind, gap] = found;
  Verdict verdict{
      .outcome = Outcome::pass,
      .found = "inputs lower the held-out loss by (nats, or the loss's unit)",
      .measured = gap.mean,
      .tolerance = kClear * gap.error,
      .evidence = {fmt::format("{} held-out examples: loss {:.4g} ± {:.2g} with inputs, "
                               "{:.4g} ± {:.2g} without",
                               held_out.size(), loss.mean, loss.error, blind.mean, blind.error)}};
  if (found.is_clear(kClear)) return verdict;
  if (!task.informative) {
    verdict.found = "inputs carry no information, as declared";
    return verdict;
  }
  verdict.hint =
      "check that labels belong to their inputs in both splits, that inputs are not "
      "blank, and that the network is trained at all (overfit_one_batch)";
  if (held_out.size() < kFew) {
    verdict.outcome = Outcome::inconclusive;
    verdict.reasons = {"too-few-examples"};
    verdict.found = "the held-out examples are too few to tell whether inputs help";
    return verdict;
  }
  if (gap.mean > kNothing * gap.error) {
    verdict.outcome = Outcome::inconclusive;
    verdict.reasons = {"cannot-tell"};
    verdict.found = "inputs may lower the held-out loss, but not clearly (gain)";
    return verdict;
  }
  verdict.outcome = Outcome::fail;
  const bool worse = gap.mean < -kClear * gap.error;
  verdict.reasons = {worse ? "worse-than-blind" : "no-information"};
  verdict.found = worse ? "the network does worse with inputs than without (gain)"
                        : "the network learns nothing from its inputs (gain)";
  if (!std::isfinite(gap.mean)) verdict.reasons = {"not-finite", "no-information"};
  return verdict;
}

}  // namespace

Check input_independent() {
  return {
      "input_independent", "7: input-independent baseline",
      "Trains twice from the same start with the task's own step: on the inputs as they are, and "
      "on "
      "zeros. Each is scored\non held-out examples of its own kind, and the difference (paired, "
      "losses "
      "capped at 4 times the blind mean) must be\nabove 6 of its standard errors after 50 steps or "
      "800 examples, or else, after 200 steps or 3,200, above 2.5 of\n"
      "its standard errors; between 1 and 2.5 it is inconclusive. No difference: "
      "labels do not belong to inputs, inputs are blank, or nothing trains.\nWorse than blind: "
      "the held-out labels mean something else. Under 100 examples it is inconclusive.\nSource: "
      "Karpathy 2019, \"input-independent baseline\".",
      &run};
}

}  // namespace cucina::checks
