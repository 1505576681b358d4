// Stage 1: images that are there twice, within a split and across splits.
#include <fmt/format.h>

#include <algorithm>

#include "recipe/inspect/copies.h"
#include "recipe/inspect/inspection.h"

namespace cucina::inspect {
namespace {

constexpr double kMostDuplicates = 0.02;  // of a split, by images; more than natural
constexpr double kMostShared = 0.01;
constexpr std::size_t kMostShown = 60;  // pairs on the sheet

using checks::Outcome;
using checks::Verdict;

std::string describe(const Subject& subject, const Pair& pair) {
  std::string text =
      fmt::format("{} is {}", subject.describe(pair.second), subject.describe(pair.first));
  if (pair.distance > 0) text += fmt::format(" nearly (distance {:.3f})", pair.distance);
  const std::string &a = subject.class_name(subject.label(pair.first)),
                    &b = subject.class_name(subject.label(pair.second));
  if (a != b) text += fmt::format(", but labelled {}, not {}", b, a);
  return text;
}

// What pairs of such splits mean.
void judge(const Subject& subject, const std::vector<Pair>& pairs, bool across,
           checks::Findings* findings) {
  for (const Split split : kSplits) {
    std::vector<std::string> evidence;
    std::int64_t exact = 0;
    for (const Pair& pair : pairs) {
      if (pair.second.split != split || (pair.first.split != split) != across) continue;
      evidence.push_back(describe(subject, pair));
      exact += pair.distance == 0 ? 1 : 0;
    }
    if (evidence.empty()) continue;
    const auto count = static_cast<std::int64_t>(evidence.size());
    const double share = double(count) / double(subject.set(split).n);
    Verdict verdict{
        .outcome = share > (across ? kMostShared : kMostDuplicates) ? Outcome::fail : Outcome::warn,
        .reasons = {across ? "shared" : "duplicates"},
        .measured = share,
        .expected = 0,
        .evidence = std::move(evidence)};
    if (across) {
      verdict.found =
          fmt::format("{} of {}'s images are in another split, too, {} of them exactly (share)",
                      count, name(split), exact);
      verdict.hint =
          "split before anything is copied; remove them from one, or results look too good";
    } else {
      verdict.found = fmt::format("{} of {}'s images are copies in it, {} of them exact (share)",
                                  count, name(split), exact);
      verdict.hint = "remove the copies: they count as often as they are there";
    }
    findings->add(verdict);
  }
}

void judge_labels(const Subject& subject, const std::vector<Pair>& pairs,
                  checks::Findings* findings) {
  std::vector<std::string> evidence;
  for (const Pair& pair : pairs)
    if (subject.label(pair.first) != subject.label(pair.second))
      evidence.push_back(describe(subject, pair));
  if (evidence.empty()) return;
  findings->add(
      {.outcome = Outcome::warn,
       .reasons = {"copies-with-other-labels"},
       .found = fmt::format("{} copies have another label than their original", evidence.size()),
       .evidence = std::move(evidence),
       .hint = "one of the two labels is wrong: look at both"});
}

Found run(const Subject& subject) {
  const Copies copies = find_copies(subject);
  std::vector<Pair> all = copies.exact;
  all.insert(all.end(), copies.near.begin(), copies.near.end());
  checks::Findings findings;
  judge(subject, all, true, &findings);
  judge(subject, all, false, &findings);
  judge_labels(subject, all, &findings);
  if (all.empty()) {
    std::int64_t images = 0;
    for (const Split split : kSplits) images += subject.set(split).n;
    findings.add(
        {.outcome = Outcome::pass, .found = fmt::format("{} images, each there once", images)});
  }
  Found found{.verdict = findings.verdict()};
  for (const char* kind : {"exact", "near"}) {
    auto& list = found.details[kind] = nlohmann::ordered_json::array();
    for (const Pair& pair : kind == std::string("exact") ? copies.exact : copies.near)
      list.push_back({{"first", subject.to_json(pair.first)},
                      {"second", subject.to_json(pair.second)},
                      {"distance", pair.distance}});
  }
  if (all.empty()) return found;
  // What matters most first: across splits, then near, where there is something to see.
  std::stable_sort(all.begin(), all.end(), [](const Pair& a, const Pair& b) {
    const auto rank = [](const Pair& each) {
      return std::pair(each.first.split == each.second.split, each.distance == 0);
    };
    return rank(a) < rank(b);
  });
  Sheet sheet{
      .name = "duplicates", .title = "Pairs side by side, those across splits first", .rows = {}};
  std::vector<Tile> tiles;
  for (std::size_t i = 0; i < all.size() && i < kMostShown; ++i)
    for (const Ref& each : {all[i].first, all[i].second})
      tiles.push_back({each, fmt::format("{}{}", name(each.split).substr(0, 2), each.index)});
  sheet.rows = in_rows(tiles);
  found.sheets.push_back(std::move(sheet));
  return found;
}

}  // namespace

Inspection duplicates() {
  return {
      "duplicates", "stage 1: become one with the data",
      "Compares every image with every other, within splits and across them. Copies are exact, or "
      "near: less their\nmeans, they differ by less than 0.1 of their deviation (root mean "
      "square), "
      "as a copy that was compressed again,\nmade brighter, or changed by a grey level. A few are "
      "natural and warned of; more than 2 % within a split, or 1 %\nof a split that are in "
      "another, fail. Copies with different labels are listed: one of the labels is wrong.",
      &run};
}

}  // namespace cucina::inspect
