// Gathers, standardises and moves batches.
#include "recipe/data/loader.h"

#include <algorithm>
#include <numeric>

#include "core/error.h"
#include "core/random.h"

namespace cucina::data {

ChannelStats standardisation(const ImageSet& train) {
  ChannelStats stats = channel_stats(train);
  for (double& deviation : stats.stddev) {
    if (deviation == 0) deviation = 1;
  }
  return stats;
}

Loader::Loader(const ImageSet& set, const ChannelStats& stats, std::int64_t batch_size,
               Device device)
    : set_(set), batch_size_(batch_size), device_(device) {
  if (batch_size < 1) fail("loader: the batch size is {}; it must be at least 1", batch_size);
  if (static_cast<std::int64_t>(stats.mean.size()) != set.c ||
      static_cast<std::int64_t>(stats.stddev.size()) != set.c)
    fail("loader: {} means and {} deviations for {} channels", stats.mean.size(),
         stats.stddev.size(), set.c);
  table_.resize(static_cast<std::size_t>(set.c));
  for (std::size_t c = 0; c < table_.size(); ++c) {
    for (std::size_t pixel = 0; pixel < table_[c].size(); ++pixel) {
      table_[c][pixel] =
          static_cast<float>((static_cast<double>(pixel) - stats.mean[c]) / stats.stddev[c]);
    }
  }
}

Batch Loader::gather(std::span<const std::int64_t> indices) const {
  const auto n = static_cast<std::int64_t>(indices.size());
  const Tensor images = Tensor::empty({n, set_.h, set_.w, set_.c});
  const Tensor labels = Tensor::empty({n}, DType::i32);
  float* x = images.data<float>();
  auto* label = labels.data<std::int32_t>();
  const std::size_t channels = table_.size();
  for (const std::int64_t index : indices) {
    if (index < 0 || index >= set_.n)
      fail("loader: image {} asked for; the set has {}", index, set_.n);
    const std::span<const std::uint8_t> pixels = set_.image(index);
    if (channels == 1) {
      for (const std::uint8_t pixel : pixels) *x++ = table_[0][pixel];
    } else {
      for (std::size_t i = 0; i < pixels.size(); ++i) *x++ = table_[i % channels][pixels[i]];
    }
    *label++ = set_.labels[static_cast<std::size_t>(index)];
  }
  return {.images = images.to(device_), .labels = labels.to(device_)};
}

// Not (n + size - 1) / size: a size may be as large as the type holds.
std::int64_t Loader::batches() const { return set_.n == 0 ? 0 : (set_.n - 1) / batch_size_ + 1; }

Batch Loader::in_order(std::int64_t i) const {
  const std::int64_t first = i * batch_size_;
  std::vector<std::int64_t> indices(
      static_cast<std::size_t>(std::min(batch_size_, set_.n - first)));
  std::iota(indices.begin(), indices.end(), first);
  return gather(indices);
}

std::vector<std::int64_t> epoch_order(std::uint64_t seed, std::uint32_t epoch, std::int64_t n) {
  return permutation(RandomStream(seed, "shuffle"), epoch, n);
}

}  // namespace cucina::data
