// Stage 1: how much detail matters, and where it is.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "core/random.h"
#include "recipe/inspect/inspection.h"
#include "recipe/inspect/probe.h"

namespace cucina::inspect {
namespace {

constexpr std::int64_t kImages = 4000;
constexpr std::int64_t kLeast = 500;
constexpr std::int64_t kFilters = 64;
constexpr double kClear = 4;  // standard errors

// The images at 1/factor of their resolution, enlarged again.
data::ImageSet blurred(const data::ImageSet& set, std::int64_t factor) {
  data::ImageSet result = set;
  const std::int64_t h = std::max<std::int64_t>(1, set.h / factor);
  const std::int64_t w = std::max<std::int64_t>(1, set.w / factor);
#pragma omp parallel for schedule(static)
  for (std::int64_t i = 0; i < set.n; ++i) {
    const auto pixels = set.image(i);
    const data::Picture picture = data::resized(
        data::resized({.size = {set.h, set.w, set.c}, .pixels = {pixels.begin(), pixels.end()}}, h,
                      w),
        set.h, set.w);
    std::copy(picture.pixels.begin(), picture.pixels.end(),
              result.pixels.begin() + i * std::int64_t(set.image_bytes()));
  }
  return result;
}

// The pixels of each image in an order of its own: all that is left is which values there are.
data::ImageSet scattered(const data::ImageSet& set) {
  data::ImageSet result = set;
  const RandomStream random(1, "inspect.scattered");
  for (std::int64_t i = 0; i < set.n; ++i) {
    const auto order = permutation(random, static_cast<std::uint64_t>(i), set.h * set.w);
    for (std::size_t at = 0; at < order.size(); ++at)
      std::copy_n(set.image(i).data() + order[at] * set.c, set.c,
                  &result.pixels[static_cast<std::size_t>(i) * set.image_bytes() +
                                 at * static_cast<std::size_t>(set.c)]);
  }
  return result;
}

double accuracy_of(const data::ImageSet& set, std::int64_t grid) {
  const FoldedFit fit(patch_features(set, {.filters = kFilters, .grid = grid}));
  return accuracy(margins(fit.scores(set.labels, set.classes), set.labels, set.classes));
}

Found run(const Subject& subject) {
  const data::ImageSet& train = subject.data.train;
  if (train.classes < 2 || train.n < kLeast)
    return {checks::skipped(fmt::format("needs {} images of two classes", kLeast))};
  if (std::min(train.h, train.w) < 6) return {checks::skipped("images of under 6 pixels")};
  std::vector<std::int64_t> order = permutation(RandomStream(1, "inspect.detail"), 0, train.n);
  order.resize(static_cast<std::size_t>(std::min(kImages, train.n)));
  const data::ImageSet set = for_probes(train, order, subject.data.max_value);
  const auto n = static_cast<double>(set.n);
  const auto error = [&](double p) { return std::sqrt(std::max(p * (1 - p), 0.01) / n); };
  const std::vector<std::int64_t> counts = data::class_counts(set);
  const double chance = double(*std::max_element(counts.begin(), counts.end())) / n;

  Found found;
  auto& ladder = found.details["resolutions"] = nlohmann::ordered_json::array();
  std::string steps;
  double whole = 0;
  std::int64_t enough_h = set.h, enough_w = set.w;
  for (std::int64_t factor = 1; std::min(set.h, set.w) / factor >= 2; factor *= 2) {
    const double at = accuracy_of(factor == 1 ? set : blurred(set, factor), 3);
    if (factor == 1) whole = at;
    const std::int64_t h = set.h / factor, w = set.w / factor;
    if (at > whole - kClear * error(whole)) enough_h = h, enough_w = w;
    ladder.push_back({{"h", h}, {"w", w}, {"accuracy", at}});
    steps += fmt::format("{}{}x{} {:.3f}", steps.empty() ? "" : ", ", h, w, at);
  }
  const double anywhere = accuracy_of(set, 1);
  const double values = accuracy_of(scattered(set), 1);
  const bool informative = whole > chance + kClear * error(chance);
  const bool matters = whole > anywhere + kClear * std::hypot(error(whole), error(anywhere));
  found.details["with_position"] = whole;
  found.details["without_position"] = anywhere;
  found.details["values_alone"] = values;
  found.details["chance"] = chance;
  found.details["position_matters"] = matters;
  checks::Verdict& verdict = found.verdict;
  verdict.measured = whole;
  verdict.expected = chance;
  verdict.evidence = {
      fmt::format("by resolution: {}", steps),
      fmt::format(
          "patterns wherever they are: {:.3f}; pixels in random order: {:.3f}; chance {:.3f}",
          anywhere, values, chance)};
  if (!informative) {
    verdict.outcome = checks::Outcome::inconclusive;
    verdict.reasons = {"probe-at-chance"};
    verdict.found = "a quick probe cannot tell the classes apart (accuracy, chance expected)";
    verdict.hint = "see what door_probe says: do labels belong to their images?";
    return found;
  }
  verdict.outcome = checks::Outcome::pass;
  verdict.expected = checks::kNoNumber;
  verdict.found = fmt::format("position {}; {}x{} {} (a probe's accuracy)",
                              matters ? "matters" : "does not matter", enough_h, enough_w,
                              enough_h == set.h ? "is not too much detail" : "is detail enough");
  return found;
}

}  // namespace

Inspection detail() {
  return {
      "detail", "stage 1: become one with the data; 23: smaller input dimension",
      "Measures a quick probe on 4,000 images (out of fold): at full, half, quarter... resolution; "
      "with its patterns\naveraged over the whole image instead of over nine parts, which forgets "
      "where they are; and with each image's\npixels in random order, which leaves their values "
      "alone. What costs less than 4 standard errors is not needed.",
      &run};
}

}  // namespace cucina::inspect
