// CIFAR-10 and CIFAR-100 in their binary versions, cifar-10-batches-bin and cifar-100-binary.
#pragma once

#include <filesystem>

#include "recipe/data/image_set.h"
#include "recipe/data/limits.h"

namespace cucina::data {

// True when at least one batch file is in `folder`.
bool has_cifar(const std::filesystem::path& folder);

// Reads data_batch_1.bin .. data_batch_5.bin and test_batch.bin: rows of 3,073 bytes, a label and
// then the red, green and blue planes of a 32x32 image. Validation is 1/10 of train (5,000 of
// 50,000), each class in proportion. Dataset::sha256 covers the six files in that order.
//   throws   Error, exit code 3: a file is missing, empty or not a multiple of 3,073 bytes; a label
//   above 9 source   Krizhevsky 2009, "Learning Multiple Layers of Features from Tiny Images"
Dataset load_cifar(const std::filesystem::path& folder, const Limits& limits = {});

// True when train.bin or test.bin is in `folder`.
bool has_cifar100(const std::filesystem::path& folder);

// Reads train.bin and test.bin: rows of 3,074 bytes, a coarse label, the fine label 0..99 that
// counts, and an image as above. Class names come from fine_label_names.txt where that is there.
//   throws   Error, exit code 3: as above; another number of names than 100
Dataset load_cifar100(const std::filesystem::path& folder, const Limits& limits = {});

}  // namespace cucina::data
