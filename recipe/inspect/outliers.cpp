// Stage 1: images sorted by what describes them, and those that stand apart.
#include <fmt/format.h>

#include <algorithm>

#include "recipe/inspect/inspection.h"
#include "recipe/inspect/scalars.h"

namespace cucina::inspect {
namespace {

constexpr std::size_t kShown = 12;    // at each end
constexpr std::size_t kLeast = 200;   // images, for the ends to be known
constexpr double kCentral = 0.99;     // of images, between the ends
constexpr double kGap = 0.5;          // of the range of the central ones
constexpr double kLeastGap = 0.05;    // of the pixels' range
constexpr double kMostApart = 0.005;  // of images: more are a group, not outliers
constexpr std::size_t kBins = 20;

using checks::Outcome;
using checks::Verdict;
using Json = nlohmann::ordered_json;

// How many of the sorted values, from the lower end, lie beyond a gap; 0 where there is none.
std::size_t apart(const std::vector<double>& sorted, double gap) {
  const auto most = static_cast<std::size_t>(kMostApart * double(sorted.size()));
  for (std::size_t i = most; i > 0; --i)
    if (sorted[i] - sorted[i - 1] > gap) return i;
  return 0;
}

struct Ends {
  std::size_t low = 0;
  std::size_t high = 0;
};

Ends ends_of(const std::vector<Value>& sorted, int max_value) {
  if (sorted.size() < kLeast) return {};
  const auto tail = static_cast<std::size_t>((1 - kCentral) / 2 * double(sorted.size()));
  const double range = sorted[sorted.size() - 1 - tail].value - sorted[tail].value;
  const double gap = std::max(kGap * range, kLeastGap * max_value);
  std::vector<double> up, down;
  for (const Value& each : sorted) up.push_back(each.value);
  for (auto each = sorted.rbegin(); each != sorted.rend(); ++each) down.push_back(-each->value);
  return {apart(up, gap), apart(down, gap)};
}

Json describe(const Subject& subject, const std::vector<Value>& sorted, const Ends& ends) {
  const double low = sorted.front().value, high = sorted.back().value;
  std::vector<std::int64_t> histogram(kBins);
  double sum = 0;
  for (const Value& each : sorted) {
    sum += each.value;
    const double share = high > low ? (each.value - low) / (high - low) : 0;
    ++histogram[std::min(kBins - 1, static_cast<std::size_t>(share * kBins))];
  }
  Json json = {{"lowest", low},
               {"median", sorted[sorted.size() / 2].value},
               {"mean", sum / double(sorted.size())},
               {"highest", high},
               {"histogram", histogram}};
  const auto list = [&](auto begin, std::size_t count) {
    Json images = Json::array();
    for (; count > 0; --count, ++begin) {
      Json image = subject.to_json(begin->image);
      image["value"] = begin->value;
      images.push_back(image);
    }
    return images;
  };
  json["first"] = list(sorted.begin(), std::min(kShown, sorted.size()));
  json["last"] = list(sorted.rbegin(), std::min(kShown, sorted.size()));
  json["apart_low"] = list(sorted.begin(), ends.low);
  json["apart_high"] = list(sorted.rbegin(), ends.high);
  return json;
}

Found run(const Subject& subject) {
  checks::Findings findings;
  Found found;
  Sheet sheet{
      .name = "outliers",
      .title =
          "For each of brightness, contrast, sharpness, border (and saturation) a row of the "
          "lowest and one of the highest",
      .rows = {}};
  for (const Scalar& scalar : scalars()) {
    if (scalar.name == "saturation" && subject.data.train.c != 3) continue;
    std::vector<Value> sorted = values_of(subject, scalar);
    std::stable_sort(sorted.begin(), sorted.end(),
                     [](const Value& a, const Value& b) { return a.value < b.value; });
    const Ends ends = ends_of(sorted, subject.data.max_value);
    found.details[std::string(scalar.name)] = describe(subject, sorted, ends);
    const auto row = [&](auto begin) {
      auto& tiles = sheet.rows.emplace_back();
      for (std::size_t i = 0; i < std::min(kShown, sorted.size()); ++i, ++begin)
        tiles.push_back(
            {begin->image, fmt::format("{}{:.3g}", scalar.name.substr(0, 2), begin->value)});
    };
    row(sorted.begin());
    row(sorted.rbegin());
    if (ends.low + ends.high == 0) continue;
    Verdict verdict{
        .outcome = Outcome::warn,
        .reasons = {std::string(scalar.name)},
        .found = fmt::format("{} images stand apart by {}", ends.low + ends.high, scalar.name),
        .hint = "look at them: do they belong here?"};
    const auto add = [&](auto begin, std::size_t count) {
      for (; count > 0; --count, ++begin)
        verdict.evidence.push_back(
            fmt::format("{}: {:.4g}", subject.describe(begin->image), begin->value));
    };
    add(sorted.begin(), ends.low);
    add(sorted.rbegin(), ends.high);
    verdict.evidence.push_back(
        fmt::format("of all, the median is {:.4g}", sorted[sorted.size() / 2].value));
    findings.add(verdict);
  }
  findings.add({.outcome = Outcome::pass, .found = "no image stands apart from all others"});
  found.verdict = findings.verdict();
  found.sheets.push_back(std::move(sheet));
  return found;
}

}  // namespace

Inspection outliers() {
  return {
      "outliers", "stage 1: become one with the data",
      "Sorts all images by brightness, contrast, sharpness, the brightness of their border, and "
      "saturation. Up to 0.5 % of\nthem at an end stand apart where the gap to the rest is wider "
      "than half the range of the central 99 % and 5 % of the pixels'; 200 images\nare the least. "
      "The lowest and highest "
      "are on a sheet in any case; --sort and --where list any others.",
      &run};
}

}  // namespace cucina::inspect
