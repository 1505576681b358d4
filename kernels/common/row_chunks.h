// RowChunks: how the rows of an array (rows, c) are split where every column is summed.
#pragma once

#include <cstdint>

namespace cucina {

// One thread sums one chunk of some columns, a second kernel the chunks. The split depends on
// nothing but `rows`, so the order of the sum, hence its bits, is the same everywhere.
struct RowChunks {
  std::int64_t rows;
  std::int64_t length;  // rows per chunk; the last may be shorter
  std::int64_t count;
};

constexpr RowChunks row_chunks(std::int64_t rows) {
  constexpr std::int64_t kShortest = 32;  // below, partial sums weigh as much as the rows
  constexpr std::int64_t kMostChunks =
      2048;  // beyond, the second kernel takes as long as the first
  const std::int64_t wanted = (rows + kMostChunks - 1) / kMostChunks;
  const std::int64_t length = wanted < kShortest ? kShortest : wanted;
  return {.rows = rows, .length = length, .count = (rows + length - 1) / length};
}

}  // namespace cucina
