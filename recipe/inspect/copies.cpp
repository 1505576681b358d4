// Exact copies by hash; near ones by a sweep over deviations with signatures of sixteen numbers.
#include "recipe/inspect/copies.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <string_view>
#include <tuple>
#include <unordered_map>

namespace cucina::inspect {
namespace {

constexpr int kGrid = 4;
constexpr double kLeastDeviation = 0.01;  // of the range

// What is compared of an image first. Squared differences of `cells`, added up, are at most the
// mean square of the pixels' differences: cells are means, weighted by the root of their share.
struct Signature {
  std::array<float, kGrid * kGrid> cells{};
  float deviation = 0;
  float mean = 0;
  Ref image;
};

Signature signature_of(const data::ImageSet& set, Ref image) {
  Signature result;
  result.image = image;
  const auto pixels = set.image(image.index);
  std::array<double, kGrid * kGrid> sums{}, counts{};
  double sum = 0, squares = 0;
  const std::uint8_t* at = pixels.data();
  for (std::int64_t y = 0; y < set.h; ++y)
    for (std::int64_t x = 0; x < set.w; ++x) {
      const auto cell = static_cast<std::size_t>(y * kGrid / set.h * kGrid + x * kGrid / set.w);
      int pixel = 0, square = 0;
      for (std::int64_t k = 0; k < set.c; ++k, ++at) pixel += *at, square += *at * *at;
      sums[cell] += pixel;
      counts[cell] += double(set.c);
      sum += pixel;
      squares += square;
    }
  const auto n = static_cast<double>(pixels.size());
  const double mean = sum / n;
  result.mean = static_cast<float>(mean);
  result.deviation = static_cast<float>(std::sqrt(std::max(0.0, squares / n - mean * mean)));
  for (std::size_t i = 0; i < sums.size(); ++i)
    if (counts[i] > 0)
      result.cells[i] = static_cast<float>((sums[i] / counts[i] - mean) * std::sqrt(counts[i] / n));
  return result;
}

float squared_distance(const Signature& a, const Signature& b) {
  float sum = 0;
  for (std::size_t i = 0; i < a.cells.size(); ++i) {
    const float difference = a.cells[i] - b.cells[i];
    sum += difference * difference;
  }
  return sum;
}

// The mean square of what differs when both have mean 0.
double squared_distance(std::span<const std::uint8_t> a, std::span<const std::uint8_t> b) {
  std::int64_t sum = 0, squares = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    const int difference = int(a[i]) - int(b[i]);
    sum += difference;
    squares += difference * difference;
  }
  const auto n = static_cast<double>(a.size());
  return double(squares) / n - double(sum) / n * (double(sum) / n);
}

// All images in order, but those that are copies of an earlier one.
std::vector<Ref> distinct(const Subject& subject, std::vector<Pair>* exact) {
  std::vector<Ref> result;
  std::unordered_multimap<std::size_t, Ref> seen;
  for (const Split split : kSplits) {
    const data::ImageSet& set = subject.set(split);
    for (std::int64_t i = 0; i < set.n; ++i) {
      const auto pixels = set.image(i);
      const std::string_view bytes(reinterpret_cast<const char*>(pixels.data()), pixels.size());
      const std::size_t hash = std::hash<std::string_view>()(bytes);
      const auto [begin, end] = seen.equal_range(hash);
      const auto same = std::find_if(begin, end, [&](const auto& each) {
        const auto other = subject.pixels(each.second);
        return other.size() == pixels.size() &&
               std::memcmp(other.data(), pixels.data(), pixels.size()) == 0;
      });
      if (same != end) {
        exact->push_back({same->second, {split, i}, 0});
      } else {
        seen.emplace(hash, Ref{split, i});
        result.push_back({split, i});
      }
    }
  }
  return result;
}

}  // namespace

Copies find_copies(const Subject& subject) {
  Copies copies;
  const std::vector<Ref> images = distinct(subject, &copies.exact);
  std::vector<Signature> all(images.size());
#pragma omp parallel for schedule(static)
  for (std::size_t i = 0; i < images.size(); ++i)
    all[i] = signature_of(subject.set(images[i].split), images[i]);
  std::erase_if(all, [&](const Signature& each) {
    return each.deviation < kLeastDeviation * subject.data.max_value;
  });
  // Deviations differ by at most the distance: further on in this order there is no near one.
  std::sort(all.begin(), all.end(), [](const Signature& a, const Signature& b) {
    return a.deviation != b.deviation ? a.deviation < b.deviation : a.image < b.image;
  });
#pragma omp parallel for schedule(dynamic, 64)
  for (std::size_t i = 0; i < all.size(); ++i) {
    const double most = kNear * all[i].deviation, most_squared = most * most;
    // A little more, as signatures are rounded.
    const auto bound = static_cast<float>(most_squared * 1.001 + 1e-6);
    for (std::size_t j = i + 1; j < all.size() && all[j].deviation - all[i].deviation <= most;
         ++j) {
      if (squared_distance(all[i], all[j]) > bound) continue;
      const double squared =
          squared_distance(subject.pixels(all[i].image), subject.pixels(all[j].image));
      if (squared > most_squared) continue;
      const auto [first, second] = std::minmax(all[i].image, all[j].image);
#pragma omp critical
      copies.near.push_back({first, second, std::sqrt(squared) / all[i].deviation});
    }
  }
  std::sort(copies.near.begin(), copies.near.end(), [](const Pair& a, const Pair& b) {
    return std::tie(a.first, a.second) < std::tie(b.first, b.second);
  });
  return copies;
}

}  // namespace cucina::inspect
