// Folders of idx files: MNIST, Fashion-MNIST, and sets laid out like them.
#pragma once

#include <filesystem>

#include "recipe/data/image_set.h"
#include "recipe/data/limits.h"

namespace cucina::data {

// True when at least one of the four canonical files is in `folder`.
bool has_idx(const std::filesystem::path& folder);

// Reads train-images-idx3-ubyte, train-labels-idx1-ubyte, t10k-images-idx3-ubyte and
// t10k-labels-idx1-ubyte (also spelled with a dot, "train-images.idx3-ubyte"; each plain or gzip).
// Validation is 1/12 of train, each class in proportion: 5,000 of 60,000. Dataset::sha256 covers
// the four files' contents in that order.
//   throws   Error, exit code 3: a file is missing or malformed, labels outside 0..9, counts that
//   differ source   LeCun, Cortes & Burges, "The MNIST database", section "File formats"
Dataset load_idx(const std::filesystem::path& folder, const Limits& limits = {});

}  // namespace cucina::data
