// ColumnChunks: how the rows of matrices are split where every column is summed.
#pragma once

#include <cstdint>

namespace cucina {

// How `samples` matrices (rows, c), one behind the other, are split. It depends on sizes alone, so
// the order of a sum, hence its bits, is the same everywhere.
struct ColumnChunks {
  std::int64_t samples, rows, c;
  std::int64_t length;  // rows a thread takes
  int lanes;            // threads of a block that share columns, each with rows of its own
  std::int64_t slabs;   // blocks that share a sample's columns

  // Elements of memory for two sums per column, sample and slab, and two totals per column.
  std::int64_t scratch() const { return 2 * (samples * slabs + 1) * c; }
};

constexpr ColumnChunks column_chunks(std::int64_t samples, std::int64_t rows, std::int64_t c) {
  constexpr std::int64_t kLanes = 32;
  // Rows per thread; below, joining costs as much. Of a single sample there are blocks too few.
  const std::int64_t shortest = samples == 1 ? 8 : 16;
  constexpr std::int64_t kMostBlocks = 1024;  // as many of 256 threads as an H100 holds at once
  const auto parts = [](std::int64_t n, std::int64_t part) { return (n + part - 1) / part; };
  const auto at_least_1 = [](std::int64_t n) { return n < 1 ? 1 : n; };
  const std::int64_t across = samples * parts(c, 64);
  const std::int64_t most = at_least_1(kMostBlocks / at_least_1(across));
  const std::int64_t wanted = at_least_1(parts(rows, kLanes * shortest));
  std::int64_t slabs = wanted < most ? wanted : most;
  std::int64_t lanes = kLanes;
  if (slabs == 1 && rows < kLanes * shortest) lanes = at_least_1(parts(rows, shortest));
  const std::int64_t length = at_least_1(parts(rows, slabs * lanes));
  slabs = at_least_1(parts(rows, length * lanes));
  return {samples, rows, c, length, static_cast<int>(lanes), slabs};
}

}  // namespace cucina
