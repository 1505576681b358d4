// Tip 13, generalise a special case: a fast function against the loops that say what it means, over
// random cases, and the smallest one in which they differ.
#pragma once

#include <cmath>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "core/random.h"

namespace cucina::checks {

// The first case in which two functions differ, made as small as it can be.
struct Difference {
  std::vector<std::int64_t> sizes;
  std::size_t index = 0;  // of the first result that differs; beyond both: their lengths do
  double fast = 0, reference = 0;
  double error = 0;      // relative to the largest result
  double tolerance = 0;  // what was allowed there
  std::string text() const;
};

struct DifferentialOptions {
  std::int64_t cases = 200;
  std::uint64_t seed = 1;
  // Results may differ by so many times what the reference itself changes when its input is changed
  // in the last digit.
  double allowance = 32;
};

// Sizes of a case to the numbers that it reads; and those numbers, with the sizes, to results.
using MakeInput = std::function<std::vector<float>(const std::vector<std::int64_t>& sizes,
                                                   const RandomStream& random)>;
using Compute = std::function<std::vector<double>(const std::vector<std::int64_t>& sizes,
                                                  const std::vector<float>& input)>;

// Tries `options.cases` cases with sizes uniform in [least[i], most[i]], then shrinks the first
// that differs: each size towards its least for as long as the two still differ.
//   returns  nothing when they agree in all cases
//   source   Karpathy 2019, "generalize a special case"; the tolerance follows the idea of TTrace
std::optional<Difference> differential(const Compute& fast, const Compute& reference,
                                       const MakeInput& make,
                                       const std::vector<std::int64_t>& least,
                                       const std::vector<std::int64_t>& most,
                                       const DifferentialOptions& options = {});

}  // namespace cucina::checks
