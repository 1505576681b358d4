// Probes of examples without a network: nearest neighbours, the best single input, a linear fit.
#pragma once

#include <cstdint>
#include <vector>

#include "recipe/check/samples.h"

namespace cucina::checks {

// For each of the first `queries` rows of `from`, the row of `among` with the smallest Euclidean
// distance; a row of the same index is passed over when `itself` is true (both are one split).
std::vector<std::int64_t> nearest(const Rows& from, std::int64_t queries, const Rows& among,
                                  bool itself);

// The distance of the nearest other row over the mean distance, mean over some rows: 0 where there
// are copies, near 1 where all are equally far.
double distance_contrast(const Rows& rows);

// The share of labels that agree with the neighbour's; for numbers the correlation.
double agreement(const Rows& from, const Rows& among, const std::vector<std::int64_t>& neighbour);

struct BestInput {
  std::int64_t position = -1;
  double accuracy = 0;
};
// The single number of an input that tells the label best: of 16 ranges of its values, each votes
// for a class on one half of the rows and is scored on the other.
BestInput best_input(const Rows& rows, int classes);

// How often two random rows have the same label.
double chance_agreement(const Rows& rows, int classes);

// The share of the most frequent label.
double majority(const Rows& rows, int classes);

}  // namespace cucina::checks
