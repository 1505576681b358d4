// Counts the examples that two models disagree on.
#include "recipe/skeleton/compare.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "core/error.h"

namespace cucina::skeleton {
namespace {

// Twice the chance of at most `fewer` heads among `n` throws of a fair coin, at most 1.
double two_sided(std::int64_t fewer, std::int64_t n) {
  double sum = 0;
  const auto total = static_cast<double>(n);
  for (std::int64_t k = 0; k <= fewer; ++k) {
    const auto heads = static_cast<double>(k);
    sum += std::exp(std::lgamma(total + 1) - std::lgamma(heads + 1) -
                    std::lgamma(total - heads + 1) - total * std::log(2.0));
  }
  return std::min(1.0, 2 * sum);
}

}  // namespace

Comparison compare(std::span<const std::int32_t> first, std::span<const std::int32_t> second) {
  if (first.size() != second.size() || first.empty())
    fail("compare: {} and {} examples; give what two models made of the same ones", first.size(),
         second.size());
  Comparison result{.n = static_cast<std::int64_t>(first.size())};
  for (std::size_t i = 0; i < first.size(); ++i) {
    result.only_first += first[i] != 0 && second[i] == 0;
    result.only_second += first[i] == 0 && second[i] != 0;
  }
  const auto n = static_cast<double>(result.n);
  const auto differ = static_cast<double>(result.only_first + result.only_second);
  result.difference = static_cast<double>(result.only_second - result.only_first) / n;
  // Of n numbers that are -1, 0 or 1.
  result.error = std::sqrt((differ / n - result.difference * result.difference) / n);
  result.p = two_sided(std::min(result.only_first, result.only_second),
                       result.only_first + result.only_second);
  return result;
}

std::string Comparison::text() const {
  return fmt::format("{:+.2f} ± {:.2f} points ({} better, {} worse of {}), p {:.2g}",
                     100 * difference, 100 * error, only_second, only_first, n, p);
}

}  // namespace cucina::skeleton
