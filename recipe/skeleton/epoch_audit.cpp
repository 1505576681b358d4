// Stage 1 at the door: what an epoch delivers. Every example once, in no order of classes, labels
// in the same proportions as in validation, and none of validation's examples.
#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <set>
#include <unordered_map>

#include "core/random.h"
#include "recipe/check/check.h"
#include "recipe/check/proportions.h"
#include "recipe/check/samples.h"

namespace cucina::checks {
namespace {

constexpr double kLeastCoverage = 0.95;
constexpr double kMostDuplicates = 0.02;  // of a split; more than natural
constexpr double kMostShared = 0.01;
constexpr double kLeastEntropy = 0.6;  // of a batch's labels, over that of a shuffled epoch's

// One epoch of a split.
struct Epoch {
  std::vector<std::int32_t> labels;
  std::vector<std::uint64_t> hashes;
  std::vector<std::int64_t> indices;
  std::vector<std::int64_t> sizes;  // of batches
  std::vector<std::string> spoilt;  // examples that hold NaN or Inf
};

std::uint64_t hash(std::span<const float> x) {
  std::uint64_t h = 0x9E3779B97F4A7C15u;
  for (const float value : x) {
    h = (h ^ std::bit_cast<std::uint32_t>(value)) * 0xFF51AFD7ED558CCDu;
    h ^= h >> 32;
  }
  return h;
}

Epoch read(const Loader& loader, std::int64_t epoch) {
  Epoch all;
  loader(epoch, [&](const Batch& batch) {
    const std::vector<float> x = batch.inputs.to_vector<float>();
    const std::size_t d = x.size() / static_cast<std::size_t>(batch.size());
    for (std::size_t i = 0; i < x.size(); i += d)
      all.hashes.push_back(hash(std::span(x).subspan(i, d)));
    for (std::size_t i = 0; i < x.size(); ++i) {
      if (std::isfinite(x[i])) continue;
      const std::size_t row = i / d;
      all.spoilt.push_back(
          batch.indices.empty()
              ? fmt::format("example {} of batch {}", row, all.sizes.size())
              : fmt::format("example {}, number {} of its input", batch.indices[row], i % d));
      i = (row + 1) * d - 1;  // one line for each
    }
    if (has_labels(batch)) {
      const std::vector<std::int32_t> labels = batch.targets.to_vector<std::int32_t>();
      all.labels.insert(all.labels.end(), labels.begin(), labels.end());
    }
    all.indices.insert(all.indices.end(), batch.indices.begin(), batch.indices.end());
    all.sizes.push_back(batch.size());
    return true;
  });
  return all;
}

double batch_entropy(const std::vector<std::int32_t>& labels,
                     const std::vector<std::int64_t>& sizes) {
  double sum = 0;
  std::size_t at = 0;
  for (const std::int64_t size : sizes) {
    std::unordered_map<std::int32_t, double> counts;
    for (std::int64_t i = 0; i < size; ++i) counts[labels[at++]] += 1;
    for (const auto& [label, count] : counts)
      sum -= count / double(size) * std::log(count / double(size)) / double(sizes.size());
  }
  return sum;
}

void order(const Epoch& epoch, Findings* findings) {
  if (epoch.labels.empty() || epoch.sizes.size() < 4) return;
  std::vector<std::int32_t> shuffled;
  const auto n = static_cast<std::int64_t>(epoch.labels.size());
  for (const std::int64_t i : permutation(RandomStream(1, "epoch_audit"), 0, n))
    shuffled.push_back(epoch.labels[i]);
  const double entropy = batch_entropy(epoch.labels, epoch.sizes);
  const double expected = batch_entropy(shuffled, epoch.sizes);
  if (entropy < kLeastEntropy * expected)
    findings->add(failed("class-order",
                         "batches hold few classes at a time (entropy of their labels)",
                         "shuffle the training examples every epoch", entropy, expected));
}

void proportions(const Task& task, const Epoch& train, const Epoch& validation,
                 Findings* findings) {
  std::vector<double> a(static_cast<std::size_t>(task.classes)), b(a.size());
  const auto count = [&](const Epoch& epoch, std::vector<double>* counts) {
    for (const std::int32_t label : epoch.labels) {
      const bool absent =
          std::find(task.absent.begin(), task.absent.end(), label) != task.absent.end();
      if (label >= 0 && label < task.classes && !absent) ++(*counts)[label];
    }
  };
  count(train, &a);
  count(validation, &b);
  const double apart = proportions_deviate(a, b);
  if (!(apart > kProportionsDiffer)) return;
  Verdict verdict = failed("labels-drift", "classes have other proportions in validation (deviate)",
                           "look for classes that were merged or renamed in one split", apart, 0);
  for (std::size_t k = 0; k < a.size(); ++k)
    verdict.evidence.push_back(
        fmt::format("class {}: {} of training, {} of validation", k, a[k], b[k]));
  findings->add(verdict);
}

void coverage(const Task& task, const Epoch& epoch, Findings* findings) {
  if (task.train_examples == 0) return;
  const std::set<std::int64_t> distinct(epoch.indices.begin(), epoch.indices.end());
  const double delivered =
      epoch.indices.empty() ? double(epoch.hashes.size()) : double(distinct.size());
  const double share = delivered / double(task.train_examples);
  if (share < kLeastCoverage)
    findings->add(failed("incomplete-epoch", "an epoch leaves examples out (share delivered)",
                         "look for an iterator that starts again, or a limit", share, 1));
}

void content(const Epoch& plain, const Epoch& validation, Findings* findings) {
  std::unordered_map<std::uint64_t, std::size_t> first;
  std::vector<std::string> pairs;
  const auto label = [&](std::size_t i) { return plain.indices.empty() ? i : plain.indices[i]; };
  for (std::size_t i = 0; i < plain.hashes.size(); ++i) {
    const auto [at, is_new] = first.emplace(plain.hashes[i], i);
    if (!is_new)
      pairs.push_back(fmt::format("training {} is training {}", label(i), label(at->second)));
  }
  const auto add = [&](const char* reason, const char* what, std::size_t of, double most,
                       const char* hint) {
    const double share = double(pairs.size()) / double(std::max<std::size_t>(of, 1));
    if (pairs.empty()) return;
    Verdict verdict = failed(reason, what, hint, share, 0);
    if (share <= most) verdict.outcome = Outcome::warn;
    verdict.evidence = pairs;
    findings->add(verdict);
  };
  add("duplicates", "training examples are there more than once (share)", plain.hashes.size(),
      kMostDuplicates, "remove the copies: they count as often as they are there");
  pairs.clear();
  for (std::size_t i = 0; i < validation.hashes.size(); ++i) {
    const auto at = first.find(validation.hashes[i]);
    if (at != first.end())
      pairs.push_back(fmt::format("validation {} is training {}", i, label(at->second)));
  }
  add("validation-in-training", "validation examples are in training, too (share)",
      validation.hashes.size(), kMostShared,
      "split before anything is copied; remove them from one");
}

Verdict run(const Task& task) {
  const Epoch epoch = read(task.train, 0);
  const Epoch plain = task.plain ? read(task.plain, 0) : epoch;
  Epoch validation;
  if (task.validation) validation = read(task.validation, 0);
  Findings findings;
  findings.add({.outcome = Outcome::pass,
                .found = fmt::format("an epoch delivers {} examples in {} batches, each once",
                                     epoch.hashes.size(), epoch.sizes.size())});
  for (const Epoch* each : {&epoch, static_cast<const Epoch*>(&validation)}) {
    if (each->spoilt.empty()) continue;
    Verdict verdict = failed("not-finite", "inputs hold NaN or Inf (examples)",
                             "look at the reader and at divisions by a deviation of 0",
                             double(each->spoilt.size()), 0);
    verdict.evidence = each->spoilt;
    findings.add(verdict);
  }
  coverage(task, epoch, &findings);
  order(epoch, &findings);
  content(plain, validation, &findings);
  if (task.classes > 1 && task.validation) proportions(task, epoch, validation, &findings);
  return findings.verdict();
}

}  // namespace

Check epoch_audit() {
  return {
      "epoch_audit", "stage 1: become one with the data, at the door",
      "Reads an epoch as training does, and validation. No input may be NaN or Inf, an epoch must "
      "deliver 95 % of the "
      "training examples, batches must\nhold as many classes as a shuffled epoch's would "
      "(entropy, 0.6 of it), under 2 % of examples may be copies of\nothers and under 1 % of "
      "validation's may be in training (any are warned of), and classes must have the same\n"
      "proportions in both splits (chi-square, p about 1e-6).",
      &run};
}

}  // namespace cucina::checks
