// NumPy's .npy files: arrays of images and of labels.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "recipe/data/image_set.h"
#include "recipe/data/limits.h"

namespace cucina::data {

struct NpyArray {
  std::string dtype;  // "|u1", "<i8"
  std::vector<std::int64_t> shape;
  std::vector<std::uint8_t> bytes;  // in C order
};

// Reads an array of numbers, plain or gzip.
//   throws   Error, exit code 3: no .npy, a header that is not as NumPy writes it, objects, Fortran
//            order, more than `most_bytes`, cut short, or bytes behind the array
//   source   NEP 1, "A Simple File Format for NumPy Arrays"; versions 1, 2 and 3
NpyArray read_npy(const std::filesystem::path& path, std::uint64_t most_bytes);

// True when the images of train are in `folder`: train_images.npy or x_train.npy.
bool has_npy(const std::filesystem::path& folder);

// Reads train_images.npy with train_labels.npy (or x_train.npy with y_train.npy), and where they
// are there val_ and test_ (x_val, x_test). Images are u8, (n, h, w) or (n, h, w, 1 or 3); labels
// integers from 0, (n) or (n, 1). Splits that are not there are held out of train, 1/10 of it each.
//   throws   Error, exit code 3: malformed, counts or sizes that differ, a label that train has not
Dataset load_npy(const std::filesystem::path& folder, const Limits& limits = {});

}  // namespace cucina::data
