// Stratified splits by a SplitMix64 shuffle of each class.
#include "recipe/data/split.h"

#include <algorithm>
#include <numeric>
#include <utility>

#include "core/error.h"

namespace cucina::data {
namespace {

// SplitMix64 (Steele, Lea & Flood 2014): tiny, and the same numbers with every standard library.
class Random {
 public:
  explicit Random(std::uint64_t seed) : state_(seed) {}

  // Uniform in 0..bound-1; draws that would favour the small remainders are thrown away.
  std::uint64_t below(std::uint64_t bound) {
    const std::uint64_t unfair = (0 - bound) % bound;
    std::uint64_t draw = next();
    while (draw < unfair) draw = next();
    return draw % bound;
  }

 private:
  std::uint64_t next() {
    state_ += 0x9e3779b97f4a7c15u;
    std::uint64_t z = state_;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
  }

  std::uint64_t state_;
};

// How many of each class make `size` of the `left` ones, in proportion, exact in sum.
std::vector<std::int64_t> quotas(const std::vector<std::int64_t>& left, std::int64_t size) {
  const std::int64_t total = std::accumulate(left.begin(), left.end(), std::int64_t{0});
  std::vector<std::int64_t> quota(left.size(), 0);
  std::vector<std::pair<std::int64_t, std::size_t>> remainders;
  std::int64_t given = 0;
  for (std::size_t k = 0; k < left.size() && total > 0; ++k) {
    quota[k] = left[k] * size / total;
    given += quota[k];
    remainders.emplace_back(-(left[k] * size % total), k);
  }
  std::sort(remainders.begin(), remainders.end());
  for (std::size_t i = 0; given < size; ++i, ++given) ++quota[remainders[i].second];
  return quota;
}

}  // namespace

std::vector<std::vector<std::int64_t>> stratified_parts(std::span<const std::int32_t> labels,
                                                        int classes,
                                                        std::span<const std::int64_t> sizes,
                                                        std::uint64_t seed) {
  const auto count = static_cast<std::int64_t>(labels.size());
  const std::int64_t asked = std::accumulate(sizes.begin(), sizes.end(), std::int64_t{0});
  if (asked > count) fail("split: parts of {} images in all but the set has {}", asked, count);

  std::vector<std::vector<std::int64_t>> of_class(static_cast<std::size_t>(classes));
  for (std::int64_t i = 0; i < count; ++i)
    of_class[static_cast<std::size_t>(labels[static_cast<std::size_t>(i)])].push_back(i);
  Random random(seed);
  for (auto& members : of_class)
    for (std::size_t i = members.size(); i > 1; --i)
      std::swap(members[i - 1], members[random.below(i)]);

  std::vector<std::vector<std::int64_t>> parts;
  for (const std::int64_t size : sizes) {
    std::vector<std::int64_t> left;
    left.reserve(of_class.size());
    for (const auto& members : of_class) left.push_back(static_cast<std::int64_t>(members.size()));
    const auto quota = quotas(left, size);
    auto& part = parts.emplace_back();
    for (std::size_t k = 0; k < of_class.size(); ++k) {
      const auto first = of_class[k].end() - quota[k];
      part.insert(part.end(), first, of_class[k].end());
      of_class[k].erase(first, of_class[k].end());
    }
  }
  auto& rest = parts.emplace_back();
  for (const auto& members : of_class) rest.insert(rest.end(), members.begin(), members.end());
  for (auto& part : parts) std::sort(part.begin(), part.end());
  return parts;
}

TwoSets hold_out(const ImageSet& set, std::int64_t size, std::uint64_t seed) {
  const std::int64_t sizes[] = {size};
  const auto parts = stratified_parts(set.labels, set.classes, sizes, seed);
  return {.kept = select(set, parts[1]), .held_out = select(set, parts[0])};
}

void hold_out_missing(Dataset* set, bool has_validation, bool has_test, std::uint64_t seed) {
  constexpr std::int64_t kShare = 10;
  if (set->train.n < 3)
    fail(ExitCode::bad_file, "{}: {} images can be read for training but 3 are the least; add some",
         set->name, set->train.n);
  const std::int64_t size = std::max<std::int64_t>(1, set->train.n / kShare);
  const auto take = [&](ImageSet* split, std::uint64_t with) {
    auto [kept, held_out] = hold_out(set->train, size, with);
    set->train = std::move(kept);
    *split = std::move(held_out);
  };
  if (!has_validation) take(&set->validation, seed);
  if (!has_test) take(&set->test, seed + 1);
}

}  // namespace cucina::data
