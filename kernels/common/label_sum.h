// Sums over examples, by one block: of their losses, of their labels' weights.
#pragma once

#include <cstdint>
#include <limits>

#include "kernels/common/row_team.h"
#include "kernels/simt/simt.h"

namespace cucina {
// Every .cu file has its own copy: nvcc and g++ compile the same names to different code.
namespace {

// finish(sum of of(i) over [0, n)); in double, so that a million small numbers lose nothing.
template <typename Team, typename Of, typename Finish>
__global__ void __launch_bounds__(256) sum_kernel(Of of, std::int64_t n, Finish finish) {
  if (Team::row() > 0) return;
  double sums[Team::kSlots] = {};
  Team::for_parts(n, false, [&]<int kWidth>(std::int64_t k, int slot) {
    for (int j = 0; j < kWidth; ++j) sums[slot + j] += static_cast<double>(of(k + j));
  });
  const double sum = Team::template sum<0>(sums);
  if (Team::lane() == 0) finish(sum);
}

template <typename Of, typename Finish>
void sum_over(const char* name, const Stream& stream, std::int64_t n, const Of& of,
              const Finish& finish) {
  for_row_team(n, [&](auto team) {
    using Team = decltype(team);
    launch_rows<Team>(name, sum_kernel<Team, Of, Finish>, stream, 1, of, n, finish);
  });
}

// *to = sum / *divisor, or over `count` where there is none.
template <typename Real>
struct Quotient {
  const Real* divisor;
  double count;
  Real* to;
  __device__ void operator()(double sum) const {
    *to = static_cast<Real>(sum / (divisor != nullptr ? static_cast<double>(*divisor) : count));
  }
};

template <typename Real>
struct Listed {
  const Real* values;
  __device__ Real operator()(std::int64_t i) const { return values[i]; }
};

// The weight of an example's label; NaN for a label that is no class.
template <typename Real>
struct WeightOfLabel {
  const std::int32_t* labels;
  const Real* weights;  // null: 1
  std::int64_t classes;
  __device__ Real operator()(std::int64_t row) const {
    const std::int64_t label = labels[row];
    if (label < 0 || label >= classes) return std::numeric_limits<Real>::quiet_NaN();
    return weights != nullptr ? weights[label] : Real(1);
  }
};

}  // namespace
}  // namespace cucina
