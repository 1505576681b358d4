// Plain searches over some hundreds of rows.
#include "recipe/check/neighbours.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace cucina::checks {
namespace {

// In eight sums, which the compiler can keep in one register.
float squared_distance(std::span<const float> a, std::span<const float> b) {
  constexpr std::size_t kLanes = 8;
  float sums[kLanes] = {};
  std::size_t i = 0;
  for (; i + kLanes <= a.size(); i += kLanes) {
    for (std::size_t lane = 0; lane < kLanes; ++lane) {
      const float d = a[i + lane] - b[i + lane];
      sums[lane] += d * d;
    }
  }
  float sum = 0;
  for (; i < a.size(); ++i) sum += (a[i] - b[i]) * (a[i] - b[i]);
  for (const float each : sums) sum += each;
  return sum;
}

double correlation(const std::vector<double>& a, const std::vector<double>& b) {
  const Moments of_a = moments(a), of_b = moments(b);
  if (of_a.deviation == 0 || of_b.deviation == 0) return 0;
  double sum = 0;
  for (std::size_t i = 0; i < a.size(); ++i) sum += (a[i] - of_a.mean) * (b[i] - of_b.mean);
  return sum / double(a.size() - 1) / of_a.deviation / of_b.deviation;
}

}  // namespace

std::vector<std::int64_t> nearest(const Rows& from, std::int64_t queries, const Rows& among,
                                  bool itself) {
  std::vector<std::int64_t> result;
  const bool known = !from.indices.empty() && !among.indices.empty();
  for (std::int64_t i = 0; i < std::min(queries, from.n); ++i) {
    float best = std::numeric_limits<float>::infinity();
    std::int64_t at = 0;
    for (std::int64_t j = 0; j < among.n; ++j) {
      if (itself && (known ? from.indices[i] == among.indices[j] : i == j)) continue;
      const float distance = squared_distance(from.row(i), among.row(j));
      if (distance < best) best = distance, at = j;
    }
    result.push_back(at);
  }
  return result;
}

double distance_contrast(const Rows& rows) {
  constexpr std::int64_t kRows = 50;
  const std::int64_t n = std::min(kRows, rows.n);
  double sum = 0;
  for (std::int64_t i = 0; i < n; ++i) {
    double nearest = std::numeric_limits<double>::infinity(), mean = 0;
    for (std::int64_t j = 0; j < rows.n; ++j) {
      if (i == j) continue;
      const double distance = std::sqrt(squared_distance(rows.row(i), rows.row(j)));
      nearest = std::min(nearest, distance);
      mean += distance / static_cast<double>(rows.n - 1);
    }
    sum += mean > 0 ? nearest / mean / static_cast<double>(n) : 0;
  }
  return sum;
}

double agreement(const Rows& from, const Rows& among, const std::vector<std::int64_t>& neighbour) {
  if (neighbour.empty()) return 0;
  if (!from.labels.empty()) {
    double right = 0;
    for (std::size_t i = 0; i < neighbour.size(); ++i)
      right += from.labels[i] == among.labels[neighbour[i]];
    return right / double(neighbour.size());
  }
  const std::size_t k = from.y.size() / static_cast<std::size_t>(from.n);
  std::vector<double> a, b;
  for (std::size_t i = 0; i < neighbour.size(); ++i) {
    a.push_back(from.y[i * k]);
    b.push_back(among.y[static_cast<std::size_t>(neighbour[i]) * k]);
  }
  return correlation(a, b);
}

BestInput best_input(const Rows& rows, int classes) {
  constexpr int kRanges = 16;
  BestInput best;
  const std::int64_t half = rows.n / 2;
  for (std::int64_t at = 0; at < rows.d; ++at) {
    float low = std::numeric_limits<float>::infinity(), high = -low;
    for (std::int64_t i = 0; i < rows.n; ++i) {
      low = std::min(low, rows.x[i * rows.d + at]);
      high = std::max(high, rows.x[i * rows.d + at]);
    }
    if (!(high > low)) continue;
    const auto range = [&](std::int64_t i) {
      const float share = (rows.x[i * rows.d + at] - low) / (high - low);
      return std::min(kRanges - 1, static_cast<int>(share * kRanges));
    };
    std::vector<int> votes(static_cast<std::size_t>(kRanges * classes));
    for (std::int64_t i = 0; i < half; ++i) ++votes[range(i) * classes + rows.labels[i]];
    std::int64_t right = 0;
    for (std::int64_t i = half; i < rows.n; ++i) {
      const auto row = votes.begin() + range(i) * classes;
      right += std::max_element(row, row + classes) - row == rows.labels[i];
    }
    const double accuracy = double(right) / double(rows.n - half);
    if (accuracy > best.accuracy) best = {at, accuracy};
  }
  return best;
}

double chance_agreement(const Rows& rows, int classes) {
  std::vector<double> shares(static_cast<std::size_t>(classes));
  for (const std::int32_t label : rows.labels)
    shares[static_cast<std::size_t>(label)] += 1 / double(rows.n);
  double sum = 0;
  for (const double share : shares) sum += share * share;
  return sum;
}

double majority(const Rows& rows, int classes) {
  std::vector<std::int64_t> counts(static_cast<std::size_t>(classes));
  for (const std::int32_t label : rows.labels) ++counts[static_cast<std::size_t>(label)];
  return double(*std::max_element(counts.begin(), counts.end())) / double(rows.n);
}

}  // namespace cucina::checks
