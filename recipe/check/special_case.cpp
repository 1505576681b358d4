// Draws, compares and shrinks cases.
#include "recipe/check/special_case.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <limits>

namespace cucina::checks {
namespace {

double largest(const std::vector<double>& values) {
  double result = 0;
  for (const double value : values) result = std::max(result, std::abs(value));
  return result;
}

struct Comparison {
  const Compute& fast;
  const Compute& reference;
  const MakeInput& make;
  const DifferentialOptions& options;

  std::optional<Difference> at(const std::vector<std::int64_t>& sizes, std::uint32_t number) const {
    const RandomStream random = RandomStream(options.seed, "differential").substream(number);
    const std::vector<float> input = make(sizes, random);
    const std::vector<double> a = fast(sizes, input), b = reference(sizes, input);
    if (a.size() != b.size())
      return Difference{.sizes = sizes,
                        .index = std::max(a.size(), b.size()),
                        .fast = double(a.size()),
                        .reference = double(b.size()),
                        .error = 1};
    // How much the results owe to the last digits of the input.
    std::vector<float> nudged = input;
    for (std::size_t i = 0; i < nudged.size(); ++i) {
      const float to = random.uniform(1, i) < 0.5f ? -1 : 1;
      nudged[i] = std::nextafter(nudged[i], to * std::numeric_limits<float>::infinity());
    }
    const std::vector<double> c = reference(sizes, nudged);
    const double scale = std::max(largest(b), std::numeric_limits<double>::min());
    double noise = std::numeric_limits<float>::epsilon();
    for (std::size_t i = 0; i < b.size(); ++i)
      noise = std::max(noise, std::abs(b[i] - c[i]) / scale);
    const double tolerance = options.allowance * noise;
    for (std::size_t i = 0; i < a.size(); ++i) {
      const double error = std::abs(a[i] - b[i]) / scale;
      if (error <= tolerance) continue;  // NaN is an error, too
      return Difference{.sizes = sizes,
                        .index = i,
                        .fast = a[i],
                        .reference = b[i],
                        .error = error,
                        .tolerance = tolerance};
    }
    return std::nullopt;
  }
};

}  // namespace

std::string Difference::text() const {
  return fmt::format(
      "sizes ({}): result {} is {:.9g}, expected {:.9g}: off by {:.2g}, allowed {:.2g}",
      fmt::join(sizes, ", "), index, fast, reference, error, tolerance);
}

std::optional<Difference> differential(const Compute& fast, const Compute& reference,
                                       const MakeInput& make,
                                       const std::vector<std::int64_t>& least,
                                       const std::vector<std::int64_t>& most,
                                       const DifferentialOptions& options) {
  const Comparison comparison{fast, reference, make, options};
  const RandomStream random(options.seed, "sizes");
  for (std::int64_t number = 0; number < options.cases; ++number) {
    const auto step = static_cast<std::uint32_t>(number);
    std::vector<std::int64_t> sizes;
    for (std::size_t i = 0; i < least.size(); ++i)
      sizes.push_back(least[i] + static_cast<std::int64_t>(random.below(
                                     step, i, static_cast<std::uint64_t>(most[i] - least[i] + 1))));
    std::optional<Difference> found = comparison.at(sizes, step);
    if (!found) continue;
    for (bool smaller = true; smaller;) {
      smaller = false;
      for (std::size_t i = 0; i < sizes.size(); ++i) {
        for (std::int64_t to = least[i]; to < found->sizes[i]; ++to) {
          std::vector<std::int64_t> shrunk = found->sizes;
          shrunk[i] = to;
          if (const auto again = comparison.at(shrunk, step)) {
            found = again;
            smaller = true;
            break;
          }
        }
      }
    }
    return found;
  }
  return std::nullopt;
}

}  // namespace cucina::checks
