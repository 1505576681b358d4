// Images that are there more than once, exactly or nearly.
#pragma once

#include <cstdint>
#include <vector>

#include "recipe/inspect/subject.h"

namespace cucina::inspect {

struct Pair {
  Ref first;            // train before validation before test
  Ref second;           // behind it in this order
  double distance = 0;  // see find_copies(); 0: byte for byte
};

struct Copies {
  std::vector<Pair> exact;  // each copy once, with the first of its like
  std::vector<Pair> near;   // of images that are no exact copies of an earlier one
};

// The greatest distance of a near pair.
inline constexpr double kNear = 0.1;

// Compares every image of the three splits with every other. The distance of two images is the root
// mean square of their difference, each less its mean, over the smaller of their deviations: 0 for
// a copy that is brighter, about 1.4 for images that have nothing in common. Images whose deviation
// is under 1 % of the range have no content to compare. Exact: a lower bound, from means over a
// grid of 4 x 4, decides which pairs are looked at pixel by pixel, so none is missed.
Copies find_copies(const Subject& subject);

}  // namespace cucina::inspect
