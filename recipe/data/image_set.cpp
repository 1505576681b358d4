// Statistics and selections of labelled images.
#include "recipe/data/image_set.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "core/error.h"

namespace cucina::data {

ChannelStats channel_stats(const ImageSet& set) {
  if (set.pixels.empty())
    fail("channel_stats: the set holds no pixels; give it at least one image");
  const auto channels = static_cast<std::size_t>(set.c);
  // Pixels are bytes, so a histogram gives exact counts and the squares never cancel.
  std::vector<std::array<std::int64_t, 256>> histogram(channels);
  for (auto& counts : histogram) counts.fill(0);
  for (std::size_t i = 0; i < set.pixels.size(); ++i) ++histogram[i % channels][set.pixels[i]];

  ChannelStats stats;
  const double count = static_cast<double>(set.pixels.size()) / static_cast<double>(channels);
  for (const auto& counts : histogram) {
    double sum = 0.0;
    for (int value = 0; value < 256; ++value) sum += static_cast<double>(counts[value]) * value;
    const double mean = sum / count;
    double squares = 0.0;
    for (int value = 0; value < 256; ++value)
      squares += static_cast<double>(counts[value]) * (value - mean) * (value - mean);
    stats.mean.push_back(mean);
    stats.stddev.push_back(std::sqrt(squares / count));
  }
  return stats;
}

std::vector<std::int64_t> class_counts(const ImageSet& set) {
  std::vector<std::int64_t> counts(static_cast<std::size_t>(set.classes), 0);
  for (const std::int32_t label : set.labels) ++counts[static_cast<std::size_t>(label)];
  return counts;
}

ImageSet select(const ImageSet& set, std::span<const std::int64_t> indices) {
  ImageSet chosen{.n = static_cast<std::int64_t>(indices.size()),
                  .h = set.h,
                  .w = set.w,
                  .c = set.c,
                  .classes = set.classes,
                  .pixels = {},
                  .labels = {}};
  chosen.pixels.resize(indices.size() * set.image_bytes());
  chosen.labels.reserve(indices.size());
  auto to = chosen.pixels.begin();
  for (const std::int64_t index : indices) {
    if (index < 0 || index >= set.n)
      fail("select: index {} but the set has {} images", index, set.n);
    const auto image = set.image(index);
    to = std::copy(image.begin(), image.end(), to);
    const auto at = static_cast<std::size_t>(index);
    chosen.labels.push_back(set.labels[at]);
    if (!set.files.empty()) chosen.files.push_back(set.files[at]);
    chosen.rows.push_back(set.rows.empty() ? index : set.rows[at]);
  }
  return chosen;
}

}  // namespace cucina::data
