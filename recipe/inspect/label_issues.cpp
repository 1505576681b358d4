// Stage 1: labels that are probably wrong, and how many there are.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "core/random.h"
#include "recipe/inspect/inspection.h"
#include "recipe/inspect/probe.h"

namespace cucina::inspect {
namespace {

constexpr std::int64_t kMost = 60'000;  // images looked at
constexpr std::int64_t kLeast = 500;    // images
constexpr std::int64_t kLeastPerClass = 10;
constexpr double kPlanted = 0.02;  // of labels, changed to see how wrong ones look
constexpr std::int64_t kLeastPlanted = 40;
constexpr double kClearly = 1.5;  // of counts
constexpr double kLeastGroup = 10;
constexpr double kFewWrong = 0.03;  // of labels
constexpr std::size_t kMostListed = 10'000;
constexpr std::size_t kMostShown = 96;  // on the sheet

using checks::Outcome;
using checks::Verdict;

struct Suspect {
  std::int64_t row = 0;  // of the probe's examples
  float margin = 0;
  int predicted = 0;
};

// Another class for some of the labels; returns which rows.
std::vector<std::int64_t> plant(std::vector<std::int32_t>* labels, int classes) {
  const auto n = static_cast<std::int64_t>(labels->size());
  const std::int64_t count = std::max(kLeastPlanted, std::int64_t(kPlanted * double(n)));
  const RandomStream random(1, "inspect.planted");
  std::vector<std::int64_t> rows = permutation(random, 0, n);
  rows.resize(static_cast<std::size_t>(std::min(count, n)));
  for (const std::int64_t row : rows) {
    const auto by = 1 + random.below(1, static_cast<std::uint64_t>(row),
                                     static_cast<std::uint64_t>(classes - 1));
    std::int32_t& label = (*labels)[static_cast<std::size_t>(row)];
    label = static_cast<std::int32_t>((label + std::int64_t(by)) % classes);
  }
  return rows;
}

struct Noise {
  double wrong = 0;    // at most this share of labels
  bool apart = false;  // wrong ones are a group of their own
};

// Of wrong labels, half have margins under the median of those that are wrong on purpose; of right
// ones, few. Labels that are hard to tell have margins that thin out at least as fast as an
// exponential does from 0 to half that median; what is around the median beyond that is a group of
// its own.
Noise noise_of(const FoldedFit& fit, std::vector<std::int32_t> labels, int classes) {
  const std::vector<std::int64_t> planted = plant(&labels, classes);
  std::vector<float> all = margins(fit.scores(labels, classes), labels, classes);
  std::vector<float> wrong;
  for (const std::int64_t row : planted) {
    float& margin = all[static_cast<std::size_t>(row)];
    wrong.push_back(margin);
    margin = std::numeric_limits<float>::quiet_NaN();  // no longer one of all
  }
  const auto middle = wrong.begin() + std::int64_t(wrong.size()) / 2;
  std::nth_element(wrong.begin(), middle, wrong.end());
  const float median = *middle;
  std::int64_t under = 0;
  for (const float each : all) under += each < median ? 1 : 0;
  const auto around = [&](float at) {
    return double(std::count_if(all.begin(), all.end(), [&](float each) {
      return std::abs(each - at) < std::abs(median) / 8;
    }));
  };
  const double own = around(median), half = around(median / 2), zero = around(0);
  return {.wrong = std::min(1.0, 2 * double(under) / double(all.size() - planted.size())),
          .apart = median < 0 &&
                   (own - 2 * std::sqrt(own)) * std::max(zero, half) > kClearly * half * half &&
                   own > kLeastGroup};
}

std::vector<Suspect> ranked(std::span<const float> scores, std::span<const float> margins,
                            int classes) {
  std::vector<Suspect> result;
  for (std::size_t i = 0; i < margins.size(); ++i) {
    const auto row = scores.begin() + std::int64_t(i) * classes;
    result.push_back({.row = std::int64_t(i),
                      .margin = margins[i],
                      .predicted = int(std::max_element(row, row + classes) - row)});
  }
  std::stable_sort(result.begin(), result.end(),
                   [](const Suspect& a, const Suspect& b) { return a.margin < b.margin; });
  return result;
}

Verdict judge(const Noise& noise, double agreement) {
  Verdict verdict{.outcome = Outcome::pass,
                  .found = "wrong labels are at most (share)",
                  .measured = noise.wrong,
                  .evidence = {fmt::format("a probe agrees with {:.4f} of the labels", agreement)}};
  if (noise.wrong <= kFewWrong) return verdict;
  if (!noise.apart) {
    verdict.outcome = Outcome::inconclusive;
    verdict.reasons = {"hard-images"};
    verdict.hint = "the images are hard for a quick probe: look at the most suspicious ones";
    return verdict;
  }
  verdict.outcome = Outcome::warn;
  verdict.reasons = {"label-noise"};
  verdict.found = "labels are wrong, of so many (share)";
  verdict.expected = 0;
  verdict.tolerance = kFewWrong;
  verdict.hint = "look at the most suspicious ones, and at how labels were made";
  return verdict;
}

Found run(const Subject& subject) {
  const data::ImageSet& train = subject.data.train;
  const std::vector<std::int64_t> counts = data::class_counts(train);
  if (train.classes < 2) return {checks::skipped("there is one class")};
  if (train.n < kLeast || *std::min_element(counts.begin(), counts.end()) < kLeastPerClass)
    return {
        checks::skipped(fmt::format("needs {} images, {} of each class", kLeast, kLeastPerClass))};
  std::vector<std::int64_t> order = permutation(RandomStream(1, "inspect.labels"), 0, train.n);
  order.resize(static_cast<std::size_t>(std::min(kMost, train.n)));
  const data::ImageSet set = for_probes(train, order, subject.data.max_value);
  const int classes = train.classes;
  // As many numbers as there are examples would be learned by heart.
  const FoldedFit fit(patch_features(set, {.filters = set.n < 5000     ? 32
                                                      : set.n < 20'000 ? 64
                                                                       : 128}));
  const std::vector<float> scores = fit.scores(set.labels, classes);
  const std::vector<float> own = margins(scores, set.labels, classes);
  const Noise noise = noise_of(fit, set.labels, classes);
  const std::vector<Suspect> suspects = ranked(scores, own, classes);

  Found found{.verdict = judge(noise, accuracy(own))};
  const auto count = static_cast<std::size_t>(noise.wrong * double(set.n) + 0.5);
  auto& list = found.details = {{"wrong_at_most", noise.wrong},
                                {"apart", noise.apart},
                                {"probe_agreement", accuracy(own)},
                                {"images", set.n},
                                {"suspects", nlohmann::ordered_json::array()}};
  std::vector<Tile> tiles;
  for (std::size_t i = 0; i < std::min(std::max(count, kMostShown), suspects.size()); ++i) {
    const Suspect& each = suspects[i];
    const Ref image{Split::train, order[static_cast<std::size_t>(each.row)]};
    if (i < std::min(count, kMostListed)) {
      nlohmann::ordered_json json = subject.to_json(image);
      json["suggested"] = subject.class_name(each.predicted);
      json["margin"] = each.margin;
      list["suspects"].push_back(json);
      if (found.verdict.evidence.size() < 20)
        found.verdict.evidence.push_back(
            fmt::format("{}: labelled {}, looks like {} (margin {:.2f})", subject.describe(image),
                        subject.class_name(subject.label(image)),
                        subject.class_name(each.predicted), each.margin));
    }
    if (i < kMostShown)
      tiles.push_back({image, fmt::format("{:.3}>{:.3}", subject.class_name(subject.label(image)),
                                          subject.class_name(each.predicted))});
  }
  found.sheets.push_back({.name = "label_issues",
                          .title = "The most suspicious labels first: as labelled > as it looks",
                          .rows = in_rows(tiles)});
  return found;
}

}  // namespace

Inspection label_issues() {
  return {
      "label_issues", "stage 1: become one with the data",
      "Scores every training image by a probe that has not seen it (patches of the images as "
      "filters, a linear fit, five\nfolds) and ranks labels by their score less the highest other, "
      "the "
      "margin. How wrong labels look is learned from 2 %\nthat are changed on purpose: half of all "
      "wrong ones have margins under their median, and that tells how many there\nare at most. "
      "Over "
      "3 % is warned of where wrong labels are a group of their own: more are around that median "
      "than "
      "the\ntail of the others explains; else images are hard, and it cannot tell. Source: "
      "Northcutt, "
      "Jiang & Chuang 2021,\n\"Confident Learning\", for out-of-fold scores.",
      &run};
}

}  // namespace cucina::inspect
