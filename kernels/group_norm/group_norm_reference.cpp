// group_norm in plain loops: the definition of right.
#include <cmath>
#include <limits>

#include "kernels/group_norm/group_norm.h"

namespace cucina {
namespace {

// The elements of one group of one example.
struct Group {
  std::int64_t first, pixels, c, width;  // first: the offset of its first channel in pixel 0

  std::int64_t size() const { return pixels * width; }
  std::int64_t channel(std::int64_t i) const { return first % c + i % width; }
  std::int64_t offset(std::int64_t i) const { return first + i / width * c + i % width; }
  // term(i) over the elements, in f64.
  template <typename Term>
  double mean(Term term) const {
    double sum = 0;
    for (std::int64_t i = 0; i < size(); ++i) sum += static_cast<double>(term(i));
    return sum / static_cast<double>(size());
  }
};

// Calls f(index into (n, groups), group).
template <typename F>
void for_groups(const Tensor& x, std::int64_t groups, const F& f) {
  const std::int64_t n = x.size(0), c = x.size(-1);
  if (n == 0) return;
  const std::int64_t pixels = x.elements() / n / c, width = c / groups;
  for (std::int64_t i = 0; i < n * groups; ++i) {
    f(i, Group{i / groups * pixels * c + i % groups * width, pixels, c, width});
  }
}

void run_forward(const Tensor& x, const Tensor& gamma, const Tensor& beta,
                 const GroupNormParams& params, const Tensor&, const Tensor& y, const Tensor& mean,
                 const Tensor& inv_std) {
  for_real("group_norm", x.dtype(), [&]<typename Real>() {
    const Real* values = x.data<Real>();
    for_groups(x, params.groups, [&](std::int64_t at, const Group& group) {
      double average = group.mean([&](std::int64_t i) { return values[group.offset(i)]; });
      if (!std::isfinite(average)) average = std::numeric_limits<double>::quiet_NaN();
      const double var = group.mean([&](std::int64_t i) {
        return (values[group.offset(i)] - average) * (values[group.offset(i)] - average);
      });
      const double scale = 1 / std::sqrt(var + params.eps);
      mean.data<Real>()[at] = static_cast<Real>(average);
      inv_std.data<Real>()[at] = static_cast<Real>(scale);
      for (std::int64_t i = 0; i < group.size(); ++i) {
        double value = (values[group.offset(i)] - average) * scale;
        if (gamma.defined()) value *= gamma.data<Real>()[group.channel(i)];
        if (beta.defined()) value += beta.data<Real>()[group.channel(i)];
        y.data<Real>()[group.offset(i)] = static_cast<Real>(value);
      }
    });
  });
}

template <typename Real>
void deliver(double gradient, Write write, Real& to) {
  to = static_cast<Real>(write == Write::accumulate ? to + gradient : gradient);
}

void run_backward(const Tensor& dy, const GroupNormSaved& saved, const Tensor&,
                  const GroupNormGradients& to) {
  for_real("group_norm", dy.dtype(), [&]<typename Real>() {
    const auto channels = static_cast<std::size_t>(dy.size(-1));
    std::vector<double> dgamma(channels), dbeta(channels);
    for_groups(dy, saved.mean.size(1), [&](std::int64_t at, const Group& group) {
      const double mean = saved.mean.data<Real>()[at], inv_std = saved.inv_std.data<Real>()[at];
      const auto gradient = [&](std::int64_t i) { return dy.data<Real>()[group.offset(i)]; };
      const auto normal = [&](std::int64_t i) {
        return (saved.x.data<Real>()[group.offset(i)] - mean) * inv_std;
      };
      const auto scaled = [&](std::int64_t i) {
        return gradient(i) *
               (saved.gamma.defined() ? saved.gamma.data<Real>()[group.channel(i)] : Real(1));
      };
      const double constant = group.mean(scaled);
      const double slope = group.mean([&](std::int64_t i) { return scaled(i) * normal(i); });
      for (std::int64_t i = 0; i < group.size(); ++i) {
        const auto channel = static_cast<std::size_t>(group.channel(i));
        dgamma[channel] += gradient(i) * normal(i);
        dbeta[channel] += gradient(i);
        if (!to.dx.defined()) continue;
        deliver(inv_std * (scaled(i) - constant - slope * normal(i)), to.dx_write,
                to.dx.data<Real>()[group.offset(i)]);
      }
    });
    for (std::size_t k = 0; k < channels; ++k) {
      if (to.dgamma.defined()) deliver(dgamma[k], to.dgamma_write, to.dgamma.data<Real>()[k]);
      if (to.dbeta.defined()) deliver(dbeta[k], to.dbeta_write, to.dbeta.data<Real>()[k]);
    }
  });
}

}  // namespace

GroupNormOp GroupNormOp::reference() {
  return {.dtypes = kReal, .forward = run_forward, .backward = run_backward};
}

}  // namespace cucina
