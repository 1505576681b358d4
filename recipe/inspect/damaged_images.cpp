// Stage 1: files that cannot be read, images without content, values and layouts that cannot be
// right.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <optional>

#include "recipe/inspect/inspection.h"

namespace cucina::inspect {
namespace {

constexpr double kMostUnreadable = 0.01;
constexpr double kMostConstant = 0.01;
constexpr int kFewLevels = 16;
constexpr std::int64_t kLooked = 500;   // images at whose layout is looked
constexpr std::int64_t kLeastSide = 8;  // smaller ones have no layout to speak of
constexpr double kCorrelated = 0.6;
constexpr double kUncorrelated = 0.2;
constexpr double kClearly = 0.1;  // of two correlations

using checks::Outcome;
using checks::Verdict;

void unreadable(const Subject& subject, checks::Findings* findings) {
  const auto count = static_cast<double>(subject.unreadable.size());
  if (count == 0) return;
  double all = count;
  for (const Split split : kSplits) all += double(subject.set(split).n);
  Verdict verdict{.outcome = count / all > kMostUnreadable ? Outcome::fail : Outcome::warn,
                  .reasons = {"unreadable"},
                  .found = fmt::format("{} files cannot be decoded (share)", count),
                  .measured = count / all,
                  .expected = 0,
                  .hint = "fetch them again, or remove them: training refuses them"};
  for (const data::Unreadable& each : subject.unreadable) verdict.evidence.push_back(each.why);
  findings->add(verdict);
}

std::vector<Ref> constant_images(const Subject& subject) {
  std::vector<Ref> result;
  for (const Split split : kSplits) {
    const data::ImageSet& set = subject.set(split);
    for (std::int64_t i = 0; i < set.n; ++i) {
      const auto pixels = set.image(i);
      if (std::all_of(pixels.begin(), pixels.end(), [&](int each) { return each == pixels[0]; }))
        result.push_back({split, i});
    }
  }
  return result;
}

void constant(const Subject& subject, const std::vector<Ref>& images, checks::Findings* findings) {
  if (images.empty()) return;
  double all = 0;
  for (const Split split : kSplits) all += double(subject.set(split).n);
  const double share = double(images.size()) / all;
  Verdict verdict{
      .outcome = share > kMostConstant ? Outcome::fail : Outcome::warn,
      .reasons = {"constant-image"},
      .found = fmt::format("{} images are of one value all over (share)", images.size()),
      .measured = share,
      .expected = 0,
      .hint = "nothing can be learned from them: remove them, or find out what blanked them"};
  for (const Ref& each : images)
    verdict.evidence.push_back(
        fmt::format("{}: every pixel is {}", subject.describe(each), subject.pixels(each)[0]));
  findings->add(verdict);
}

void values(const Subject& subject, checks::Findings* findings) {
  for (const Split split : kSplits) {
    const data::ImageSet& set = subject.set(split);
    if (set.n == 0) continue;
    std::array<std::int64_t, 256> counts{};
    for (const std::uint8_t each : set.pixels) ++counts[each];
    int levels = 0, highest = 0;
    for (int value = 0; value < 256; ++value)
      if (counts[static_cast<std::size_t>(value)] > 0) ++levels, highest = value;
    const int most = subject.data.max_value;
    if (highest > most)
      findings->add(checks::failed(
          "out-of-range", fmt::format("{} has pixels above the highest value", name(split)),
          "look at how pixels are read", highest, most));
    if (levels >= std::min(kFewLevels, most)) continue;
    const bool dark = 2 * highest < most;
    Verdict verdict{.outcome = dark ? Outcome::fail : Outcome::warn,
                    .reasons = {dark ? "integer-division" : "few-levels"},
                    .found = fmt::format("{}'s pixels have few values (how many)", name(split)),
                    .measured = double(levels),
                    .expected = double(most + 1),
                    .evidence = {fmt::format("the highest is {} of {}", highest, most)},
                    .hint = "were they divided as integers, or made black and white?"};
    findings->add(verdict);
  }
}

// Pearson's, of values `apart` bytes apart in one image; nothing where either does not vary.
std::optional<double> correlation(std::span<const std::uint8_t> pixels, std::size_t apart,
                                  std::size_t count) {
  double a = 0, b = 0, aa = 0, bb = 0, ab = 0;
  for (std::size_t i = 0; i < count; ++i) {
    const double x = pixels[i], y = pixels[i + apart];
    a += x, b += y, aa += x * x, bb += y * y, ab += x * y;
  }
  const auto n = static_cast<double>(count);
  const double va = aa / n - a / n * (a / n), vb = bb / n - b / n * (b / n);
  if (va < 1e-6 || vb < 1e-6) return std::nullopt;
  return (ab / n - a / n * (b / n)) / std::sqrt(va * vb);
}

double mean_correlation(const data::ImageSet& set, std::size_t apart, std::size_t count) {
  double sum = 0, n = 0;
  const std::int64_t stride = std::max<std::int64_t>(1, set.n / kLooked);
  for (std::int64_t i = 0; i < set.n; i += stride)
    if (const auto found = correlation(set.image(i), apart, count)) sum += *found, ++n;
  return n == 0 ? 0 : sum / n;
}

// In pictures neighbours are alike, along rows and down columns, and the thirds of a picture are
// not copies of each other.
void layout(const Subject& subject, checks::Findings* findings) {
  const data::ImageSet& set = subject.data.train;
  if (set.h < kLeastSide || set.w < kLeastSide || set.n == 0) return;
  const auto row = static_cast<std::size_t>(set.w * set.c), c = static_cast<std::size_t>(set.c);
  const std::size_t bytes = set.image_bytes();
  const double along = mean_correlation(set, c, bytes - c);
  const double down = mean_correlation(set, row, bytes - row);
  if (set.c == 3 && bytes % 3 == 0) {
    const double thirds = mean_correlation(set, bytes / 3, bytes / 3);
    // In a picture, what is half as far away is more alike, not less.
    const std::size_t half = static_cast<std::size_t>(std::max<std::int64_t>(1, set.h / 6)) * row;
    const double closer = mean_correlation(set, half, bytes - half);
    if (thirds > kCorrelated && thirds > closer + kClearly)
      findings->add(checks::failed("planes-as-interleaved",
                                   "the thirds of an image are copies of each other (correlation)",
                                   "images are stored plane by plane and read pixel by pixel: "
                                   "transpose (c, h, w) to (h, w, c)",
                                   thirds, 0));
  }
  if (along > kCorrelated && down < kUncorrelated)
    findings->add(checks::failed(
        "wrong-stride", "rows have nothing to do with the rows below them (correlation)",
        "the width (or the row's padding) that images are read with is wrong", down, along));
}

Found run(const Subject& subject) {
  checks::Findings findings;
  const std::vector<Ref> blank = constant_images(subject);
  unreadable(subject, &findings);
  constant(subject, blank, &findings);
  values(subject, &findings);
  layout(subject, &findings);
  findings.add({.outcome = Outcome::pass, .found = "images can be read, vary, and use the range"});
  Found found{.verdict = findings.verdict()};
  auto& files = found.details["unreadable"] = nlohmann::ordered_json::array();
  for (const data::Unreadable& each : subject.unreadable)
    files.push_back({{"file", each.file}, {"why", each.why}});
  auto& images = found.details["constant"] = nlohmann::ordered_json::array();
  for (const Ref& each : blank) images.push_back(subject.to_json(each));
  return found;
}

}  // namespace

Inspection damaged_images() {
  return {
      "damaged_images", "stage 1: become one with the data",
      "Lists image files that cannot be decoded and images of one value all over (more than 1 % of "
      "either fail), counts\nthe values that pixels have (under 16: warned of; and nothing in the "
      "upper half of the range: integer division),\nand looks at the layout of 500 images: "
      "neighbours along a row correlate by 0.6 but those down a column by under\n0.2: a wrong "
      "width; thirds of colour images correlate by 0.6, and more than what is half as far apart: "
      "planes read as pixels.",
      &run};
}

}  // namespace cucina::inspect
