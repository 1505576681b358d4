// Whether counts of classes are in the same proportions.
#pragma once

#include <span>

namespace cucina::checks {

// A normal deviate beyond which proportions differ: by chance once in a million.
inline constexpr double kProportionsDiffer = 4.75;

// The chi-square statistic of homogeneity of two rows of counts, as a normal deviate; classes that
// neither has do not count. 0 where there is nothing to compare.
//   source   Wilson & Hilferty 1931, "The distribution of chi-square"
double proportions_deviate(std::span<const double> a, std::span<const double> b);

}  // namespace cucina::checks
