// reduce in plain loops: the definition of right.
#include <cmath>
#include <limits>
#include <vector>

#include "kernels/reduce/reduce.h"

namespace cucina {
namespace {

// Calls visit(i, result, position) for every element, in the order of memory.
template <typename Visit>
void for_elements(const ReduceGeometry& g, const Visit& visit) {
  const std::int64_t sizes[] = {g.kept[0], g.reduced[0], g.kept[1], g.reduced[1],
                                g.kept[2], g.reduced[2], g.kept[3]};
  const std::int64_t n = g.results() * g.length();
  for (std::int64_t i = 0; i < n; ++i) {
    std::int64_t index[7];
    std::int64_t rest = i;
    for (int axis = 6; axis >= 0; --axis) {
      index[axis] = rest % sizes[axis];
      rest /= sizes[axis];
    }
    std::int64_t result = 0, position = 0;
    for (int axis = 0; axis < 7; ++axis) {
      std::int64_t& count = axis % 2 == 0 ? result : position;
      count = count * sizes[axis] + index[axis];
    }
    visit(i, result, position);
  }
}

void run_sum_forward(const Tensor& x, const ReduceGeometry& geometry, bool average, const Tensor&,
                     const Tensor& y) {
  for_real("reduce", x.dtype(), [&]<typename Real>() {
    std::vector<double> sums(static_cast<std::size_t>(geometry.results()));
    for_elements(geometry, [&](std::int64_t i, std::int64_t result, std::int64_t) {
      sums[static_cast<std::size_t>(result)] += x.data<Real>()[i];
    });
    const double divisor = average ? static_cast<double>(geometry.length()) : 1;
    for (std::size_t k = 0; k < sums.size(); ++k) {
      y.data<Real>()[k] = static_cast<Real>(sums[k] / divisor);
    }
  });
}

void put(Write write, double value, auto& to) {
  using Real = std::remove_reference_t<decltype(to)>;
  to = write == Write::accumulate ? to + static_cast<Real>(value) : static_cast<Real>(value);
}

void run_sum_backward(const Tensor& dy, const ReduceGeometry& geometry, bool average, Write write,
                      const Tensor& dx) {
  for_real("reduce", dy.dtype(), [&]<typename Real>() {
    const double divisor = average ? static_cast<double>(geometry.length()) : 1;
    for_elements(geometry, [&](std::int64_t i, std::int64_t result, std::int64_t) {
      put(write, dy.data<Real>()[result] / divisor, dx.data<Real>()[i]);
    });
  });
}

void run_max_forward(const Tensor& x, const ReduceGeometry& geometry, const Tensor&, const Tensor&,
                     const Tensor& y, const Tensor& index) {
  for_real("reduce", x.dtype(), [&]<typename Real>() {
    std::vector<bool> seen(static_cast<std::size_t>(geometry.results()));
    for_elements(geometry, [&](std::int64_t i, std::int64_t result, std::int64_t position) {
      const Real value = x.data<Real>()[i];
      Real& best = y.data<Real>()[result];
      const auto k = static_cast<std::size_t>(result);
      const bool wins = !seen[k] || value > best || (std::isnan(value) && !std::isnan(best));
      if (!wins) return;
      seen[k] = true;
      best = value;
      index.data<std::int32_t>()[result] = static_cast<std::int32_t>(position);
    });
  });
}

void run_max_backward(const Tensor& dy, const Tensor& index, const ReduceGeometry& geometry,
                      Write write, const Tensor& dx) {
  for_real("reduce", dy.dtype(), [&]<typename Real>() {
    for_elements(geometry, [&](std::int64_t i, std::int64_t result, std::int64_t position) {
      const bool won = index.data<std::int32_t>()[result] == position;
      put(write, won ? dy.data<Real>()[result] : 0, dx.data<Real>()[i]);
    });
  });
}

std::int64_t no_scratch(const ReduceGeometry&) { return 0; }

}  // namespace

ReduceOp ReduceOp::reference() {
  return {.dtypes = kReal,
          .scratch = no_scratch,
          .sum_forward = run_sum_forward,
          .sum_backward = run_sum_backward,
          .max_scratch = no_scratch,
          .max_forward = run_max_forward,
          .max_backward = run_max_backward};
}

}  // namespace cucina
