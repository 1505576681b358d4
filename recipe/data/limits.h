// What a caller may restrict when a data set is read.
#pragma once

#include <cstdint>

#include "recipe/data/split.h"

namespace cucina::data {

struct Limits {
  // At most this many images of each split, the first in order; 0 = all.
  std::int64_t train = 0;
  std::int64_t validation = 0;
  std::int64_t test = 0;
  // Which images become validation (and, for digits, test); never the training seed.
  std::uint64_t split_seed = kSplitSeed;
  // No single file's contents may be larger, unzipped.
  std::uint64_t file_bytes = std::uint64_t{4} << 30;
};

}  // namespace cucina::data
