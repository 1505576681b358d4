// Seeded splits that keep the classes' proportions, the same on every machine.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "recipe/data/image_set.h"

namespace cucina::data {

// Splits have a seed of their own: changing the training seed must not move an image from train to
// test.
inline constexpr std::uint64_t kSplitSeed = 20240601;

// Deals the indices of `labels` into parts of exactly `sizes` images, each class in proportion
// (largest remainders first), chosen by `seed`; indices ascend within a part. The last part takes
// what is left.
//   labels   each in 0..classes-1
//   sizes    their sum is at most the number of labels
//   returns  sizes.size() + 1 lists
std::vector<std::vector<std::int64_t>> stratified_parts(std::span<const std::int32_t> labels,
                                                        int classes,
                                                        std::span<const std::int64_t> sizes,
                                                        std::uint64_t seed);

struct TwoSets {
  ImageSet kept;
  ImageSet held_out;
};

// Holds out `size` images of `set`, each class in proportion.
TwoSets hold_out(const ImageSet& set, std::int64_t size, std::uint64_t seed);

// Where the validation or the test split of a source is not there, takes 1/10 of train for it.
//   throws   Error, exit code 3, when train has fewer than 3 images
void hold_out_missing(Dataset* set, bool has_validation, bool has_test, std::uint64_t seed);

}  // namespace cucina::data
