// Computes them, one pass over an image each.
#include "recipe/inspect/scalars.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdlib>

#include "core/error.h"

namespace cucina::inspect {
namespace {

double brightness(const data::ImageSet& set, std::int64_t i) {
  std::int64_t sum = 0;
  for (const std::uint8_t each : set.image(i)) sum += each;
  return double(sum) / double(set.image_bytes());
}

double contrast(const data::ImageSet& set, std::int64_t i) {
  std::int64_t sum = 0, squares = 0;
  for (const int each : set.image(i)) sum += each, squares += each * each;
  const auto n = static_cast<double>(set.image_bytes());
  const double mean = double(sum) / n;
  return std::sqrt(std::max(0.0, double(squares) / n - mean * mean));
}

double sharpness(const data::ImageSet& set, std::int64_t i) {
  const auto pixels = set.image(i);
  const auto row = static_cast<std::size_t>(set.w * set.c), c = static_cast<std::size_t>(set.c);
  std::int64_t sum = 0;
  for (std::size_t at = 0; at + row < pixels.size(); ++at)
    sum += std::abs(int(pixels[at]) - int(pixels[at + row])) +
           (at % row + c < row ? std::abs(int(pixels[at]) - int(pixels[at + c])) : 0);
  return double(sum) / double(pixels.size());
}

double border(const data::ImageSet& set, std::int64_t i) {
  const auto pixels = set.image(i);
  std::int64_t sum = 0, count = 0;
  for (std::int64_t y = 0; y < set.h; ++y)
    for (std::int64_t x = 0; x < set.w; ++x) {
      if (y > 0 && y + 1 < set.h && x > 0 && x + 1 < set.w) continue;
      for (std::int64_t k = 0; k < set.c; ++k, ++count) sum += pixels[(y * set.w + x) * set.c + k];
    }
  return double(sum) / double(count);
}

double saturation(const data::ImageSet& set, std::int64_t i) {
  if (set.c != 3) return 0;
  const auto pixels = set.image(i);
  std::int64_t sum = 0;
  for (std::size_t at = 0; at < pixels.size(); at += 3) {
    const auto [low, high] = std::minmax({pixels[at], pixels[at + 1], pixels[at + 2]});
    sum += high - low;
  }
  return double(sum) / double(pixels.size() / 3);
}

}  // namespace

const std::vector<Scalar>& scalars() {
  static const std::vector<Scalar> all{
      {"brightness", "the mean of all values", &brightness},
      {"contrast", "their standard deviation", &contrast},
      {"sharpness", "how much neighbours differ", &sharpness},
      {"border", "the mean of the outermost pixels", &border},
      {"saturation", "the mean of highest less lowest channel", &saturation},
  };
  return all;
}

const Scalar& scalar_named(std::string_view name) {
  std::vector<std::string_view> names;
  for (const Scalar& each : scalars()) {
    if (each.name == name) return each;
    names.push_back(each.name);
  }
  fail("scalar '{}': there is none; choose from {}", name, fmt::join(names, ", "));
}

std::vector<Value> values_of(const Subject& subject, const Scalar& scalar) {
  std::vector<Value> values;
  for (const Split split : kSplits)
    for (std::int64_t i = 0; i < subject.set(split).n; ++i) values.push_back({{split, i}, 0});
#pragma omp parallel for schedule(static)
  for (std::size_t i = 0; i < values.size(); ++i)
    values[i].value = scalar.of(subject.set(values[i].image.split), values[i].image.index);
  return values;
}

bool Condition::holds(double value) const {
  return comparison == "<"    ? value < limit
         : comparison == "<=" ? value <= limit
         : comparison == ">"  ? value > limit
                              : value >= limit;
}

Condition parse_condition(std::string_view text) {
  const std::size_t at = text.find_first_of("<>");
  if (at == std::string_view::npos)
    fail("condition '{}': give a scalar, one of < <= > >=, and a number: brightness<20", text);
  Condition condition;
  condition.scalar = &scalar_named(text.substr(0, at));
  const std::size_t size = at + 1 < text.size() && text[at + 1] == '=' ? 2 : 1;
  condition.comparison = text.substr(at, size);
  const std::string_view number = text.substr(at + size);
  const auto [end, error] =
      std::from_chars(number.data(), number.data() + number.size(), condition.limit);
  if (error != std::errc{} || end != number.data() + number.size())
    fail("condition '{}': '{}' is no number; give one, as in brightness<20", text, number);
  return condition;
}

}  // namespace cucina::inspect
