// How well two people's labels agree.
#pragma once

#include <cstdint>
#include <span>

namespace cucina::checks {

struct Agreement {
  std::int64_t n = 0;
  double share = 0;  // of examples with the same label
  double error = 0;  // of the share: sqrt(p (1 - p) / n)
  double kappa = 0;  // 0: by chance, 1: on all
  double kappa_error = 0;
};

//   throws   Error when they have different lengths, are empty, or hold a negative label
//   source   Cohen 1960, "A coefficient of agreement for nominal scales"
Agreement agreement_of(std::span<const std::int32_t> a, std::span<const std::int32_t> b);

}  // namespace cucina::checks
