// A small noisy problem to run optimisers on, and what their trajectories are compared with.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

#include "core/random.h"
#include "core/tensor.h"

namespace cucina::testing {

// Noisy gradients of sum_i curvature[i] (x[i] - target[i])^2 / 2, with curvatures from 0.1 to 1:
// well-conditioned, so that rounding errors of one step shrink in the next ones.
class NoisyQuadratic {
 public:
  explicit NoisyQuadratic(std::int64_t n) : n_(static_cast<std::size_t>(n)) {}

  std::vector<double> start() const {
    std::vector<double> x(n_);
    for (std::size_t i = 0; i < n_; ++i) x[i] = symmetric(0, i);
    return x;
  }
  // The gradient at x with the noise of that step.
  std::vector<double> gradient(const std::vector<double>& x, int step) const {
    std::vector<double> g(n_);
    for (std::size_t i = 0; i < n_; ++i) {
      const double curvature = 0.55 + 0.45 * symmetric(1, i), target = 2 * symmetric(2, i);
      g[i] = curvature * (x[i] - target) + symmetric(static_cast<std::uint32_t>(10 + step), i);
    }
    return g;
  }

 private:
  double symmetric(std::uint32_t step, std::size_t i) const {
    return 2 * random_.uniform(step, i) - 1;
  }

  std::size_t n_;
  RandomStream random_{3, "noisy_quadratic"};
};

// max_i |a[i] - b[i]| / max_i |b[i]|
inline double relative_difference(const std::vector<double>& a, const std::vector<double>& b) {
  double difference = 0, size = 0;
  for (std::size_t i = 0; i < b.size(); ++i) {
    // Not max(): a NaN must win.
    const double d = std::fabs(a[i] - b[i]);
    if (!(d <= difference)) difference = d;
    size = std::max(size, std::fabs(b[i]));
  }
  return difference / size;
}

inline constexpr int kSteps = 1000;

// Every step rounds a few times, by 2^-24 or 2^-53 of the largest numbers at hand, and the problem
// forgets errors at a rate of lr times curvature: some hundred roundings are in sight at a time.
// Where lr, a beta or a decay is rounded to f32, that is one more such error per step.
inline double trajectory_tolerance(DType dtype) { return dtype == DType::f64 ? 2e-13 : 2e-5; }

}  // namespace cucina::testing
