// Stage 1: how labels are distributed, in each split and between them.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>

#include "recipe/check/proportions.h"
#include "recipe/inspect/inspection.h"

namespace cucina::inspect {
namespace {

constexpr double kImbalance = 5;  // the most frequent class over the rarest

using checks::Outcome;
using checks::Verdict;

std::vector<double> counts_of(const data::ImageSet& set) {
  const std::vector<std::int64_t> counts = data::class_counts(set);
  return {counts.begin(), counts.end()};
}

void missing(const Subject& subject, Split split, const std::vector<double>& counts,
             checks::Findings* findings) {
  std::vector<std::string> evidence;
  for (std::size_t k = 0; k < counts.size(); ++k)
    if (counts[k] == 0)
      evidence.push_back(fmt::format("{}: none", subject.class_name(static_cast<std::int32_t>(k))));
  if (evidence.empty()) return;
  const bool train = split == Split::train;
  findings->add({.outcome = train ? Outcome::fail : Outcome::warn,
                 .reasons = {"missing-class"},
                 .found = fmt::format("{} of {} classes have no image in {}", evidence.size(),
                                      counts.size(), name(split)),
                 .evidence = std::move(evidence),
                 .hint = train ? "a class without images cannot be learned: add some, or remove it"
                               : "nothing is known of a class that is never measured"});
}

void drift(const Subject& subject, Split split, const std::vector<double>& train,
           const std::vector<double>& counts, checks::Findings* findings) {
  const double apart = checks::proportions_deviate(train, counts);
  if (!(apart > checks::kProportionsDiffer)) return;
  Verdict verdict = checks::failed(
      "labels-drift",
      fmt::format("classes have other proportions in {} than in train (deviate)", name(split)),
      "look for classes that were merged or renamed in one split", apart, 0);
  verdict.tolerance = checks::kProportionsDiffer;
  for (std::size_t k = 0; k < counts.size(); ++k)
    verdict.evidence.push_back(fmt::format("{}: {} of train, {} of {}",
                                           subject.class_name(static_cast<std::int32_t>(k)),
                                           train[k], counts[k], name(split)));
  findings->add(verdict);
}

// Softmax of these is the class frequencies: with them a network does not begin with unlearning.
std::vector<double> head_bias(const std::vector<double>& counts) {
  double n = 0;
  for (const double each : counts) n += each;
  std::vector<double> bias;
  // A class without images counts as half an image.
  for (const double each : counts) bias.push_back(std::log(std::max(each, 0.5) / n));
  return bias;
}

void balance(const std::vector<double>& counts, checks::Findings* findings) {
  const auto [least, most] = std::minmax_element(counts.begin(), counts.end());
  const double ratio = *least > 0 ? *most / *least : 0;
  if (ratio < kImbalance) return;
  findings->add(
      {.outcome = Outcome::warn,
       .reasons = {"imbalance"},
       .found = "the largest class over the smallest",
       .measured = ratio,
       .expected = 1,
       .evidence = {fmt::format("log of the frequencies: {:.4f}",
                                fmt::join(head_bias(counts), " "))},
       .hint = "start the last layer's bias at these (--head prior), and look at each class's "
               "accuracy"});
}

Found run(const Subject& subject) {
  const std::vector<double> train = counts_of(subject.data.train);
  checks::Findings findings;
  nlohmann::ordered_json counts;
  for (const Split split : kSplits) {
    const data::ImageSet& set = subject.set(split);
    counts[std::string(name(split))] = data::class_counts(set);
    if (set.n == 0) continue;
    const std::vector<double> own = counts_of(set);
    missing(subject, split, own, &findings);
    if (split != Split::train) drift(subject, split, train, own, &findings);
  }
  balance(train, &findings);
  const auto [least, most] = std::minmax_element(train.begin(), train.end());
  findings.add({.outcome = Outcome::pass,
                .found = fmt::format("{} classes of {} to {} images, alike in all splits",
                                     train.size(), *least, *most)});
  Found found{.verdict = findings.verdict()};
  found.details = {{"counts", counts}, {"head_bias", head_bias(train)}};
  return found;
}

}  // namespace

Inspection label_balance() {
  return {
      "label_balance", "stage 1: become one with the data",
      "Counts each class in each split. A class without training images fails, one that another "
      "split lacks is warned\nof; so is a largest class of five times the smallest, with the bias "
      "that the last layer should start with. Classes\nmust have train's proportions in the other "
      "splits: chi-square's deviate under 4.75, by chance exceeded once in a\nmillion.",
      &run};
}

}  // namespace cucina::inspect
