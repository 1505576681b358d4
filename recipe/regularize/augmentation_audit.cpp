// Tip 19, data augment: what augmentation does to examples. Labels must survive, every epoch must
// differ, and validation must be left alone.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <unordered_map>

#include "recipe/check/check.h"
#include "recipe/check/neighbours.h"
#include "recipe/check/samples.h"

namespace cucina::checks {
namespace {

constexpr std::int64_t kReferences = 1500;
constexpr std::int64_t kQueries = 300;
constexpr std::int64_t kNextEpoch = 6000;  // of a large set's; some were in the first, too
// Of the neighbours' agreement above chance that plain examples have: shifts by a pixel of 8x8
// images keep 0.8, turning digits upside down 0.3.
constexpr double kSurvives = 0.5;
constexpr double kMostEqual = 0.9;

struct Pairs {
  std::int64_t both = 0;   // examples that are in both
  std::int64_t equal = 0;  // with equal inputs
  std::int64_t relabelled = 0;
};

Pairs compare(const Rows& a, const Rows& b) {
  Pairs pairs;
  std::unordered_map<std::int64_t, std::int64_t> at;
  for (std::size_t j = 0; j < b.indices.size(); ++j)
    at[b.indices[j]] = static_cast<std::int64_t>(j);
  for (std::size_t i = 0; i < a.indices.size(); ++i) {
    const auto other = at.find(a.indices[i]);
    if (other == at.end()) continue;
    ++pairs.both;
    const auto row = static_cast<std::int64_t>(i);
    pairs.equal += std::equal(a.row(row).begin(), a.row(row).end(), b.row(other->second).begin());
    if (!a.labels.empty()) pairs.relabelled += a.labels[i] != b.labels[other->second];
  }
  return pairs;
}

void validation(const Task& task, Findings* findings) {
  if (!task.validation) return;
  const Rows once = rows_of(task.validation, kQueries, 0),
             again = rows_of(task.validation, kQueries, 1);
  if (std::memcmp(once.x.data(), again.x.data(), once.x.size() * sizeof(float)) != 0)
    findings->add(failed("validation-augmented", "validation examples differ from time to time",
                         "augment training examples only"));
}

void survival(const Task& task, const Rows& plain, const Rows& augmented, Findings* findings) {
  const double chance = plain.labels.empty() ? 0 : chance_agreement(plain, task.classes);
  const double before = agreement(plain, plain, nearest(plain, kQueries, plain, true)) - chance;
  const double after =
      agreement(augmented, plain, nearest(augmented, kQueries, plain, true)) - chance;
  Verdict verdict{.outcome = Outcome::pass,
                  .found = "labels survive augmentation (share of neighbours' agreement)",
                  .measured = after / before,
                  .expected = 1};
  verdict.evidence = {
      fmt::format("agreement above chance: plain {:.3f}, augmented {:.3f}", before, after)};
  if (!(before > 0.1)) {
    verdict.outcome = Outcome::inconclusive;
    verdict.reasons = {"neighbours-say-nothing"};
    verdict.found =
        "nearest neighbours say too little about these examples to judge augmentation by";
  } else if (after < kSurvives * before) {
    verdict.outcome = Outcome::fail;
    verdict.reasons = {"label-lost"};
    verdict.found = "augmented examples no longer look like their label (share of agreement)";
    verdict.hint = "use weaker or other changes, and move inputs and targets together";
  }
  findings->add(verdict);
}

Verdict run(const Task& task) {
  Findings findings;
  validation(task, &findings);
  if (!task.plain) {
    findings.add(skipped("nothing is augmented"));
    return findings.verdict();
  }
  const Rows plain = rows_of(task.plain, kReferences);
  const Rows first = rows_of(task.train, kReferences, 0),
             second = rows_of(task.train, kNextEpoch, 1);
  const Pairs to_plain = compare(first, plain), to_second = compare(first, second);
  if (to_plain.both > 0 && to_plain.equal == to_plain.both) {
    findings.add(skipped("augmentation changes nothing"));
    return findings.verdict();
  }
  const double equal = to_second.both > 0 ? double(to_second.equal) / double(to_second.both) : 0;
  if (equal > kMostEqual)
    findings.add(failed("same-every-epoch",
                        "two epochs change examples alike (share that is equal)",
                        "draw other random numbers every epoch", equal));
  if (to_plain.relabelled > 0)
    findings.add(failed("labels-changed", "augmentation changes labels (count)",
                        "keep examples and labels in the same order", double(to_plain.relabelled)));
  survival(task, plain, first, &findings);
  return findings.verdict();
}

}  // namespace

Check augmentation_audit() {
  return {"augmentation_audit", "19: data augment",
          "Compares augmented examples with plain ones and with the next epoch's. Nearest plain "
          "neighbours of augmented\nexamples must agree with their labels at least half as often, "
          "above chance, as those of plain ones; no more than 90 %\nof examples may come out the "
          "same in two epochs; labels must not change; and validation must be the same twice.\n"
          "Source: Karpathy 2019, \"data augment\"; the flipped label is among its examples.",
          &run};
}

}  // namespace cucina::checks
