// layer_norm in plain loops: the definition of right.
#include <cmath>
#include <limits>

#include "kernels/layer_norm/layer_norm.h"

namespace cucina {
namespace {

// term(k) summed over the columns of a row, in f64.
template <typename Term>
double sum_over(std::int64_t columns, Term term) {
  double sum = 0;
  for (std::int64_t k = 0; k < columns; ++k) sum += static_cast<double>(term(k));
  return sum;
}

void run_forward(const Tensor& x, const Tensor& gamma, const Tensor& beta, double eps,
                 const Tensor& y, const Tensor& mean, const Tensor& inv_std) {
  for_real("layer_norm", x.dtype(), [&]<typename Real>() {
    const std::int64_t rows = x.size(0), columns = x.size(1);
    for (std::int64_t row = 0; row < rows; ++row) {
      const Real* values = x.data<Real>() + row * columns;
      double average = sum_over(columns, [&](std::int64_t k) { return values[k]; }) /
                       static_cast<double>(columns);
      if (!std::isfinite(average)) average = std::numeric_limits<double>::quiet_NaN();
      const double var =
          sum_over(columns,
                   [&](std::int64_t k) { return (values[k] - average) * (values[k] - average); }) /
          static_cast<double>(columns);
      const double scale = 1 / std::sqrt(var + eps);
      mean.data<Real>()[row] = static_cast<Real>(average);
      inv_std.data<Real>()[row] = static_cast<Real>(scale);
      for (std::int64_t k = 0; k < columns; ++k) {
        double value = (values[k] - average) * scale;
        if (gamma.defined()) value *= gamma.data<Real>()[k];
        if (beta.defined()) value += beta.data<Real>()[k];
        y.data<Real>()[row * columns + k] = static_cast<Real>(value);
      }
    }
  });
}

template <typename Real>
void deliver(double gradient, Write write, Real& to) {
  to = static_cast<Real>(write == Write::accumulate ? to + gradient : gradient);
}

void run_backward_input(const Tensor& dy, const LayerNormSaved& saved, Write write,
                        const Tensor& dx) {
  for_real("layer_norm", dy.dtype(), [&]<typename Real>() {
    const std::int64_t rows = dy.size(0), columns = dy.size(1);
    for (std::int64_t row = 0; row < rows; ++row) {
      const Real* x = saved.x.data<Real>() + row * columns;
      const Real* gradient = dy.data<Real>() + row * columns;
      const double mean = saved.mean.data<Real>()[row], scale = saved.inv_std.data<Real>()[row];
      const auto normal = [&](std::int64_t k) { return (x[k] - mean) * scale; };
      const auto scaled = [&](std::int64_t k) {
        return gradient[k] * (saved.gamma.defined() ? saved.gamma.data<Real>()[k] : Real(1));
      };
      const double n = static_cast<double>(columns);
      const double constant = sum_over(columns, scaled) / n;
      const double slope =
          sum_over(columns, [&](std::int64_t k) { return scaled(k) * normal(k); }) / n;
      for (std::int64_t k = 0; k < columns; ++k) {
        deliver(scale * (scaled(k) - constant - slope * normal(k)), write,
                dx.data<Real>()[row * columns + k]);
      }
    }
  });
}

void run_backward_affine(const Tensor& dy, const LayerNormSaved& saved, const Tensor&,
                         Write dgamma_write, const Tensor& dgamma, Write dbeta_write,
                         const Tensor& dbeta) {
  for_real("layer_norm", dy.dtype(), [&]<typename Real>() {
    const std::int64_t rows = dy.size(0), columns = dy.size(1);
    const auto down = [&](std::int64_t k, auto term) {
      return sum_over(rows, [&](std::int64_t row) { return term(row, row * columns + k); });
    };
    const Real* gradient = dy.data<Real>();
    for (std::int64_t k = 0; k < columns; ++k) {
      const double slope = down(k, [&](std::int64_t row, std::int64_t i) {
        return gradient[i] * (saved.x.data<Real>()[i] - saved.mean.data<Real>()[row]) *
               saved.inv_std.data<Real>()[row];
      });
      const double shift = down(k, [&](std::int64_t, std::int64_t i) { return gradient[i]; });
      if (dgamma.defined()) deliver(slope, dgamma_write, dgamma.data<Real>()[k]);
      if (dbeta.defined()) deliver(shift, dbeta_write, dbeta.data<Real>()[k]);
    }
  });
}

}  // namespace

LayerNormOp LayerNormOp::reference() {
  return {.dtypes = kReal,
          .forward = run_forward,
          .backward_input = run_backward_input,
          .backward_affine = run_backward_affine};
}

}  // namespace cucina
