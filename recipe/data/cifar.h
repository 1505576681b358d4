// CIFAR-10 in its binary version, cifar-10-batches-bin.
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

}  // namespace cucina::data
