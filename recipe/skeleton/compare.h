// Tip 3, add significant digits: whether one model is better than another, on the same examples.
#pragma once

#include <cstdint>
#include <span>
#include <string>

namespace cucina::skeleton {

// Two models on the same examples. Pairs cancel what is hard or easy about an example, so far
// smaller differences are clear than two standard errors side by side would suggest.
struct Comparison {
  std::int64_t n = 0;
  std::int64_t only_first = 0;  // examples that the first alone has right
  std::int64_t only_second = 0;
  double difference = 0;  // accuracy of the second minus that of the first
  double error = 0;       // its standard error
  double p = 1;           // that equal models differ so much or more; exact, two-sided
  // "+1.20 ± 0.41 points (52 better, 28 worse of 2000), p 0.01"
  std::string text() const;
};

// `first` and `second` hold 1 where an example is right and 0 where not, in one order.
//   throws   Error when their lengths differ or are 0
//   source   McNemar 1947, "Note on the sampling error of the difference between correlated
//            proportions"
Comparison compare(std::span<const std::int32_t> first, std::span<const std::int32_t> second);

}  // namespace cucina::skeleton
