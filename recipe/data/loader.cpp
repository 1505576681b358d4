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
    : set_(set), batch_size_(batch_size), device_(device), stats_(stats) {
  if (batch_size < 1) fail("loader: the batch size is {}; it must be at least 1", batch_size);
  if (static_cast<std::int64_t>(stats.mean.size()) != set.c ||
      static_cast<std::int64_t>(stats.stddev.size()) != set.c)
    fail("loader: {} means and {} deviations for {} channels", stats.mean.size(),
         stats.stddev.size(), set.c);
  table_.resize(static_cast<std::size_t>(set.c));
  for (std::size_t c = 0; c < table_.size(); ++c) {
    const auto mean = static_cast<float>(stats.mean[c]);
    const auto stddev = static_cast<float>(stats.stddev[c]);
    for (std::size_t pixel = 0; pixel < table_[c].size(); ++pixel)
      table_[c][pixel] = (static_cast<float>(pixel) - mean) / stddev;
  }
  if (device == Device::cuda) place_set();
}

void Loader::augment(const Augmentation& how, const RandomStream& random, const Tensor& step) {
  check(how, set_.h, set_.w, set_.c);
  augmentation_ = {.how = how, .random = random, .step = step};
  if (is_random(how)) place_set();
}

void Loader::place_set() {
  if (device_set_.images.defined()) return;
  const auto tensor = [&](const std::vector<double>& values) {
    return Tensor::from(values, {set_.c}).to(DType::f32).to(device_);
  };
  // The pixels stay where they are on the cpu. Nobody writes to them.
  auto* pixels = const_cast<std::uint8_t*>(set_.pixels.data());
  const Shape shape{set_.n, set_.h, set_.w, set_.c};
  device_set_.images =
      Tensor::over(Storage::borrow(pixels, set_.pixels.size(), Device::cpu), 0, shape, DType::u8)
          .to(device_);
  device_set_.mean = tensor(stats_.mean);
  device_set_.stddev = tensor(stats_.stddev);
}

void Loader::choose(std::span<const std::int64_t> indices, const Tensor& choice) const {
  const auto n = static_cast<std::int64_t>(indices.size());
  const Tensor host = Tensor::empty({2, n}, DType::i32);
  auto* index = host.data<std::int32_t>();
  auto* label = index + n;
  for (const std::int64_t i : indices) {
    if (i < 0 || i >= set_.n) fail("loader: image {} asked for; the set has {}", i, set_.n);
    *index++ = static_cast<std::int32_t>(i);
    *label++ = set_.labels[static_cast<std::size_t>(i)];
  }
  choice.copy_from(host);
}

Batch Loader::gather(std::span<const std::int64_t> indices) const {
  const auto n = static_cast<std::int64_t>(indices.size());
  const Tensor choice = Tensor::empty({2, n}, DType::i32, device_);
  choose(indices, choice);
  return gather(choice);
}

Batch Loader::gather(const Tensor& choice) const {
  const std::int64_t n = choice.size(1);
  const Tensor indices = choice.rows(0, 1).reshape({n}), labels = choice.rows(1, 2).reshape({n});
  if (device_ == Device::cpu && !is_random(augmentation_.how))
    return {.images = standardised(indices), .labels = labels};
  AugmentInputs in = device_set_;
  in.indices = indices;
  return {.images = cucina::augment(in, augmentation_), .labels = labels};
}

Tensor Loader::standardised(const Tensor& indices) const {
  const std::int64_t n = indices.elements();
  const Tensor images = Tensor::empty({n, set_.h, set_.w, set_.c});
  float* x = images.data<float>();
  const std::size_t channels = table_.size();
  for (const std::int32_t index : std::span(indices.data<std::int32_t>(), n)) {
    const std::span<const std::uint8_t> pixels = set_.image(index);
    if (channels == 1) {
      for (const std::uint8_t pixel : pixels) *x++ = table_[0][pixel];
    } else {
      for (std::size_t i = 0; i < pixels.size(); ++i) *x++ = table_[i % channels][pixels[i]];
    }
  }
  return images;
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
