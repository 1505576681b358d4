// Batches: images standardised to f32 and labels, on the device that trains.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "core/random.h"
#include "core/tensor.h"
#include "kernels/augment/augment.h"
#include "recipe/data/image_set.h"

namespace cucina::data {

struct Batch {
  Tensor images;  // (n, h, w, c) f32
  Tensor labels;  // (n) i32
  std::int64_t size() const { return labels.elements(); }
};

// What standardises every split: mean and deviation of the training images, channel by channel. A
// channel that never changes gets deviation 1, as there is nothing to scale.
ChannelStats standardisation(const ImageSet& train);

// The images of one split as batches of x = (pixel - mean) / deviation.
class Loader {
 public:
  // `set` must outlive the loader.
  //   throws   Error when the batch size is not positive, or `stats` has not one entry per channel
  Loader(const ImageSet& set, const ChannelStats& stats, std::int64_t batch_size, Device device);

  // From now on gather() changes images as `how` says, drawing numbers at `step` (i32, one element,
  // on the loader's device), which is read then.
  //   throws   Error when `how` does not suit the images
  void augment(const Augmentation& how, const RandomStream& random, const Tensor& step);

  // The images at `indices`, in that order.
  Batch gather(std::span<const std::int64_t> indices) const;

  // The same in two steps, of which the second reads nothing but memory of the loader's device: it
  // can be recorded once and repeated for other indices.
  //   choice   (2, n) i32 on that device, for n indices: they and their labels
  void choose(std::span<const std::int64_t> indices, const Tensor& choice) const;
  Batch gather(const Tensor& choice) const;

  // Number of batches; the last may be smaller.
  std::int64_t batches() const;
  // Batch i of the set in its own order.
  Batch in_order(std::int64_t i) const;

  const ImageSet& set() const { return set_; }
  std::int64_t batch_size() const { return batch_size_; }

 private:
  // Makes the set ready for the op that augments: on the GPU it is copied there.
  void place_set();
  Tensor standardised(const Tensor& indices) const;

  const ImageSet& set_;
  std::int64_t batch_size_;
  Device device_;
  // What a pixel of each channel becomes: on the cpu faster than the op, which gives the same bits.
  std::vector<std::array<float, 256>> table_;
  ChannelStats stats_;
  // For the GPU, and for augmented batches.
  AugmentInputs device_set_;
  AugmentParams augmentation_;
};

// The order in which epoch `epoch` (from 0) visits n images: a permutation that depends on seed and
// epoch alone.
std::vector<std::int64_t> epoch_order(std::uint64_t seed, std::uint32_t epoch, std::int64_t n);

}  // namespace cucina::data
