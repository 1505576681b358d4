// Tip 1, fix random seed: two trainings from the same start are equal bit for bit, or the first
// tensor and step that differ are named.
#include <fmt/format.h>

#include "recipe/check/check.h"
#include "recipe/check/samples.h"

namespace cucina::checks {
namespace {

constexpr std::int64_t kSteps = 6;

using Bits = std::vector<std::vector<std::uint8_t>>;  // of every tensor

Bits bits_of(const std::vector<nn::NamedTensor>& tensors) {
  Bits bits;
  for (const nn::NamedTensor& each : tensors) {
    const Tensor host = each.tensor.to(Device::cpu);
    const auto* bytes = static_cast<const std::uint8_t*>(host.raw());
    bits.emplace_back(bytes, bytes + host.bytes());
  }
  return bits;
}

struct Run {
  std::vector<Bits> inputs;  // and targets, of each batch
  std::vector<Bits> after;   // each step
};

Run train(const Task& task) {
  Run result;
  const std::vector<nn::NamedTensor> tensors = tensors_of(task);
  task.model->train();
  std::int64_t steps = 0;
  task.train(0, [&](const Batch& batch) {
    result.inputs.push_back(
        bits_of({{"inputs", batch.inputs, {}}, {"targets", batch.targets, {}}}));
    task.step(batch);
    result.after.push_back(bits_of(tensors));
    return ++steps < kSteps;
  });
  return result;
}

Verdict differs(const char* reason, std::string found, std::string evidence, std::string hint) {
  return {.outcome = Outcome::fail,
          .reasons = {reason},
          .found = std::move(found),
          .evidence = {std::move(evidence)},
          .hint = std::move(hint)};
}

Verdict run(const Task& task) {
  if (!task.step) return skipped("there is no step");
  const Snapshot start(task);
  const Run first = train(task);
  start.restore();
  const Run second = train(task);
  start.restore();
  const std::vector<nn::NamedTensor> tensors = tensors_of(task);
  for (std::size_t step = 0; step < first.after.size() && step < second.after.size(); ++step) {
    for (std::size_t i = 0; i < 2; ++i) {
      if (first.inputs[step][i] != second.inputs[step][i])
        return differs("batches-differ", "the same epoch delivers different batches",
                       fmt::format("{} of batch {} differ", i == 0 ? "inputs" : "targets", step),
                       "draw the order and the augmentation from seed, epoch and step alone");
    }
    for (std::size_t i = 0; i < tensors.size(); ++i) {
      if (first.after[step][i] == second.after[step][i]) continue;
      return differs(
          "steps-differ", "the same step on the same batch gives different bits",
          fmt::format("{} differs first, after step {}", tensors[i].name, step),
          "look for random numbers without a seed, sums in changing order (atomics), and "
          "for state that the task does not name");
    }
  }
  if (first.after.size() != second.after.size())
    return differs("batches-differ", "the same epoch has different lengths",
                   fmt::format("{} and {} batches", first.after.size(), second.after.size()),
                   "let the epoch depend on the seed alone");
  // A guard: steps that change nothing would repeat, too.
  if (bits_of(tensors) == first.after.back())
    return {.outcome = Outcome::inconclusive,
            .reasons = {"nothing-moves"},
            .found = "the steps change no tensor, so nothing could differ"};
  return {.outcome = Outcome::pass,
          .found = fmt::format("{} steps twice, {} tensors equal bit for bit", first.after.size(),
                               tensors.size())};
}

}  // namespace

Check fix_random_seed() {
  return {
      "fix_random_seed", "1: fix random seed",
      "Runs the first six steps of an epoch twice from the same parameters, buffers, optimiser "
      "state and random state,\nand compares every batch and every tensor after every step, bit "
      "for bit. What differs first is named. Steps that\nchange nothing are inconclusive.\n"
      "Source: Karpathy 2019, \"fix random seed\".",
      &run};
}

}  // namespace cucina::checks
