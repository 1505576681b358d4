// The chi-square statistic of two rows of counts.
#include "recipe/check/proportions.h"

#include <cmath>
#include <cstddef>

namespace cucina::checks {

double proportions_deviate(std::span<const double> a, std::span<const double> b) {
  double na = 0, nb = 0, statistic = 0;
  for (std::size_t k = 0; k < a.size(); ++k) na += a[k], nb += b[k];
  int freedom = -1;
  for (std::size_t k = 0; k < a.size(); ++k) {
    const double both = a[k] + b[k];
    if (both == 0) continue;
    ++freedom;
    const double of_a = both * na / (na + nb), of_b = both * nb / (na + nb);
    statistic += (a[k] - of_a) * (a[k] - of_a) / of_a + (b[k] - of_b) * (b[k] - of_b) / of_b;
  }
  if (freedom < 1) return 0;
  const double unit = 2.0 / (9.0 * freedom);
  return (std::cbrt(statistic / freedom) - (1 - unit)) / std::sqrt(unit);
}

}  // namespace cucina::checks
