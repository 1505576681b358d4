// batch_norm in plain loops: the definition of right.
#include <cmath>

#include "kernels/batch_norm/batch_norm.h"

namespace cucina {
namespace {

std::int64_t channels(const Tensor& x) { return x.size(-1); }
std::int64_t values_per_channel(const Tensor& x) { return x.elements() / channels(x); }

// term(i) of every element i of the channel, summed in f64: the mean of f32 is smaller than the
// rounding of a plain f32 sum would be.
template <typename Real, typename Term>
Real sum_over(const Tensor& x, std::int64_t channel, Term term) {
  double sum = 0;
  for (std::int64_t i = channel; i < x.elements(); i += channels(x)) sum += term(i);
  return static_cast<Real>(sum);
}

template <typename Real>
void deliver(Real gradient, Write write, Real& to) {
  to = write == Write::accumulate ? to + gradient : gradient;
}

template <typename Real>
void normalize(const Tensor& x, const Tensor& gamma, const Tensor& beta, std::int64_t channel,
               Real mean, Real inv_std, const Tensor& y) {
  for (std::int64_t i = channel; i < x.elements(); i += channels(x)) {
    y.data<Real>()[i] = gamma.data<Real>()[channel] * (x.data<Real>()[i] - mean) * inv_std +
                        beta.data<Real>()[channel];
  }
}

void run_forward_train(const Tensor& x, const Tensor& gamma, const Tensor& beta,
                       const BatchNormParams& params, const Tensor& running_mean,
                       const Tensor& running_var, const Tensor&, const Tensor& y,
                       const Tensor& mean, const Tensor& inv_std) {
  for_real("batch_norm", x.dtype(), [&]<typename Real>() {
    const Real* values = x.data<Real>();
    const std::int64_t m = values_per_channel(x);
    const Real momentum = static_cast<Real>(params.momentum);
    for (std::int64_t channel = 0; channel < channels(x); ++channel) {
      Real average = 0, squares = 0;
      if (m > 0) {
        average = sum_over<Real>(x, channel, [&](std::int64_t i) { return values[i]; }) /
                  static_cast<Real>(m);
        squares = sum_over<Real>(x, channel, [&](std::int64_t i) {
          return (values[i] - average) * (values[i] - average);
        });
      }
      const Real var = m > 0 ? squares / static_cast<Real>(m) : 0;
      mean.data<Real>()[channel] = average;
      inv_std.data<Real>()[channel] = 1 / std::sqrt(var + static_cast<Real>(params.eps));
      normalize(x, gamma, beta, channel, average, inv_std.data<Real>()[channel], y);
      if (m < 2) continue;
      Real& running_average = running_mean.data<Real>()[channel];
      Real& running_variance = running_var.data<Real>()[channel];
      running_average = (1 - momentum) * running_average + momentum * average;
      running_variance =
          (1 - momentum) * running_variance + momentum * squares / static_cast<Real>(m - 1);
    }
  });
}

void run_forward_eval(const Tensor& x, const Tensor& gamma, const Tensor& beta,
                      const Tensor& running_mean, const Tensor& running_var,
                      const BatchNormParams& params, const Tensor& y) {
  for_real("batch_norm", x.dtype(), [&]<typename Real>() {
    for (std::int64_t channel = 0; channel < channels(x); ++channel) {
      const Real var = running_var.data<Real>()[channel];
      normalize(x, gamma, beta, channel, running_mean.data<Real>()[channel],
                1 / std::sqrt(var + static_cast<Real>(params.eps)), y);
    }
  });
}

// `share` is what part of a channel's sums every dx gives back: 1 / m while training, else 0.
template <typename Real>
void backward_channel(const Tensor& dy, const Tensor& x, const Tensor& gamma, std::int64_t channel,
                      Real mean, Real inv_std, Real share, const BatchNormGradients& to) {
  const Real* gradient = dy.data<Real>();
  const auto normal = [&](std::int64_t i) { return (x.data<Real>()[i] - mean) * inv_std; };
  const Real dbeta = sum_over<Real>(x, channel, [&](std::int64_t i) { return gradient[i]; });
  const Real dgamma =
      sum_over<Real>(x, channel, [&](std::int64_t i) { return gradient[i] * normal(i); });
  if (to.dgamma.defined()) deliver(dgamma, to.dgamma_write, to.dgamma.data<Real>()[channel]);
  if (to.dbeta.defined()) deliver(dbeta, to.dbeta_write, to.dbeta.data<Real>()[channel]);
  if (!to.dx.defined()) return;
  for (std::int64_t i = channel; i < x.elements(); i += channels(x)) {
    const Real dx = gamma.data<Real>()[channel] * inv_std *
                    (gradient[i] - share * dbeta - share * dgamma * normal(i));
    deliver(dx, to.dx_write, to.dx.data<Real>()[i]);
  }
}

void run_backward_train(const Tensor& dy, const Tensor& x, const Tensor& gamma, const Tensor& mean,
                        const Tensor& inv_std, const Tensor&, const BatchNormGradients& to) {
  for_real("batch_norm", x.dtype(), [&]<typename Real>() {
    for (std::int64_t channel = 0; channel < channels(x); ++channel) {
      backward_channel<Real>(dy, x, gamma, channel, mean.data<Real>()[channel],
                             inv_std.data<Real>()[channel],
                             1 / static_cast<Real>(values_per_channel(x)), to);
    }
  });
}

void run_backward_eval(const Tensor& dy, const Tensor& x, const Tensor& gamma,
                       const Tensor& running_mean, const Tensor& running_var,
                       const BatchNormParams& params, const Tensor&, const BatchNormGradients& to) {
  for_real("batch_norm", x.dtype(), [&]<typename Real>() {
    for (std::int64_t channel = 0; channel < channels(x); ++channel) {
      const Real var = running_var.data<Real>()[channel];
      backward_channel<Real>(dy, x, gamma, channel, running_mean.data<Real>()[channel],
                             1 / std::sqrt(var + static_cast<Real>(params.eps)), 0, to);
    }
  });
}

}  // namespace

BatchNormOp BatchNormOp::reference() {
  return {.dtypes = kReal,
          .forward_train = run_forward_train,
          .forward_eval = run_forward_eval,
          .backward_train = run_backward_train,
          .backward_eval = run_backward_eval};
}

}  // namespace cucina
