// Tip 2, simplify: lists whatever is random or extra and still switched on.
#include <fmt/format.h>

#include "recipe/check/check.h"
#include "recipe/check/samples.h"

namespace cucina::checks {
namespace {

constexpr std::int64_t kExamples = 64;
constexpr std::int64_t kNextEpoch = 6000;  // of a large set's; some of the 64 are among them

// How many of the examples that both know have other inputs.
std::int64_t changed(const Batch& a, const Batch& b) {
  const std::vector<float> x = a.inputs.to_vector<float>(), y = b.inputs.to_vector<float>();
  const std::size_t d = x.size() / a.indices.size();
  std::int64_t count = 0;
  for (std::size_t i = 0; i < a.indices.size(); ++i) {
    for (std::size_t j = 0; j < b.indices.size(); ++j) {
      if (a.indices[i] != b.indices[j]) continue;
      count += !std::equal(x.begin() + i * d, x.begin() + (i + 1) * d, y.begin() + j * d);
    }
  }
  return count;
}

Verdict run(const Task& task) {
  std::vector<std::string> extras;
  if (has_random_layers(*task.model)) {
    for (const nn::Module* each : task.model->modules()) {
      if (each->describe().starts_with("Dropout")) extras.push_back(each->describe());
    }
  }
  const Batch first = take(task.train, kExamples, 0);
  if (!first.indices.empty() && !task.plain) {
    const std::int64_t count = changed(first, take(task.train, kNextEpoch, 1));
    if (count > 0)
      return {.outcome = Outcome::warn,
              .reasons = {"hidden-augmentation"},
              .found = "examples change from epoch to epoch, which is not declared (count)",
              .measured = static_cast<double>(count),
              .hint = "switch it off until the skeleton is trusted, or declare it: task.plain"};
  }
  if (!first.indices.empty() && task.plain) {
    const std::int64_t count = changed(first, take(task.plain, 8 * kExamples));
    if (count > 0)
      extras.push_back(fmt::format("augmentation: {} of {} examples differ from the plain ones",
                                   count, first.size()));
  }
  if (task.mixes_targets) extras.emplace_back("mixed examples and targets");
  if (task.declared.label_smoothing > 0)
    extras.push_back(fmt::format("label smoothing {:g}", task.declared.label_smoothing));
  if (task.schedule && task.total_steps > 1) {
    bool changes = false;
    for (std::int64_t step = 1; step < task.total_steps; ++step)
      changes = changes || task.schedule(step) != task.schedule(0);
    if (changes) extras.emplace_back("a learning rate that changes");
  }
  return {.outcome = Outcome::pass,
          .found = extras.empty() ? "nothing is random or extra"
                                  : fmt::format("{} extras are on; a first training needs none",
                                                extras.size()),
          .measured = static_cast<double>(extras.size()),
          .evidence = extras};
}

}  // namespace

Check simplify() {
  return {
      "simplify", "2: simplify",
      "Lists what is random or extra: dropout, augmentation (examples delivered with and without "
      "it are compared), mixed\nor smoothed targets, a learning rate that changes. It judges "
      "nothing but changes that are not declared:\nwhile the skeleton is not yet trusted, each\nis "
      "one more place for a bug.\n"
      "Source: Karpathy 2019, \"simplify\".",
      &run};
}

}  // namespace cucina::checks
