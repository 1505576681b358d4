// What a caller may restrict or ask for when a data set is read.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "recipe/data/split.h"

namespace cucina::data {

// An image file that cannot be decoded.
struct Unreadable {
  std::string file;  // relative to the data set
  std::string why;
};

struct Limits {
  // At most this many images of each split, the first in order; 0 = all.
  std::int64_t train = 0;
  std::int64_t validation = 0;
  std::int64_t test = 0;
  // Which images become validation (and, for digits, test); never the training seed.
  std::uint64_t split_seed = kSplitSeed;
  // No single file's contents may be larger, unzipped.
  std::uint64_t file_bytes = std::uint64_t{4} << 30;
  // Image files become this large and get so many channels (1 or 3); 0: as most of them are, and 3
  // where any has colours.
  std::int64_t h = 0;
  std::int64_t w = 0;
  std::int64_t c = 0;
  // Where not null, image files that cannot be decoded are left out and listed here, instead of
  // being an error.
  std::vector<Unreadable>* unreadable = nullptr;
  // Called now and then while many files are decoded, from the caller's thread; may be null.
  std::function<void(std::int64_t done, std::int64_t all)> progress = nullptr;
};

}  // namespace cucina::data
