// The real handwritten digits: 1,797 images of 8x8 grey levels 0..16 in 10 classes, from a local
// cache.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>

#include "recipe/data/image_set.h"
#include "recipe/data/split.h"

namespace cucina::data {

inline constexpr std::int64_t kDigitsCount = 1797;
// Of digits.csv as tools/fetch_digits writes it: 1,797 lines "p0,...,p63,label\n" of plain
// integers.
inline constexpr std::string_view kDigitsSha256 =
    "6ebb3d2fee246a4e99363262ddf8a00a3c41bee6014c373ed9d9216ba7f651b8";

// $CUCINA_CACHE, else ~/.cache/cucina.
std::filesystem::path cache_folder();

// Reads `csv` (default: digits.csv in the cache folder), verifies its SHA-256 and splits it into
// 1,197 train, 300 validation and 300 test images.
//   throws   Error, exit code 3: absent, or other bytes than the known ones
//   source   Alpaydin & Kaynak 1998, Optical Recognition of Handwritten Digits (the test part), UCI
Dataset load_digits(std::uint64_t split_seed = kSplitSeed);
Dataset load_digits(const std::filesystem::path& csv, std::uint64_t split_seed);

// The images of canonical CSV text; `path` is for the errors, which name the byte offset.
ImageSet parse_digits(std::string_view text, const std::string& path);

}  // namespace cucina::data
