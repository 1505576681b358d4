// batch_norm in plain loops: the definition of right.
#include <cmath>
#include <limits>

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
void normalize(const BatchNormInputs& in, const BatchNormParams& params, std::int64_t channel,
               Real mean, Real inv_std, const Tensor& y) {
  for (std::int64_t i = channel; i < in.x.elements(); i += channels(in.x)) {
    Real value = in.gamma.data<Real>()[channel] * (in.x.data<Real>()[i] - mean) * inv_std +
                 in.beta.data<Real>()[channel];
    if (in.residual.defined()) value += in.residual.data<Real>()[i];
    if (params.relu && value < 0) value = 0;
    y.data<Real>()[i] = value;
  }
}

void run_forward_train(const BatchNormInputs& in, const BatchNormParams& params, const Tensor&,
                       const Tensor& y, const Tensor& mean, const Tensor& inv_std) {
  const Tensor& x = in.x;
  for_real("batch_norm", x.dtype(), [&]<typename Real>() {
    const Real* values = x.data<Real>();
    const std::int64_t m = values_per_channel(x);
    const Real momentum = static_cast<Real>(params.momentum);
    for (std::int64_t channel = 0; channel < channels(x); ++channel) {
      Real average = 0, squares = 0;
      if (m > 0) {
        average = sum_over<Real>(x, channel, [&](std::int64_t i) { return values[i]; }) /
                  static_cast<Real>(m);
        if (!std::isfinite(average)) average = std::numeric_limits<Real>::quiet_NaN();
        squares = sum_over<Real>(x, channel, [&](std::int64_t i) {
          return (values[i] - average) * (values[i] - average);
        });
      }
      const Real var = m > 0 ? squares / static_cast<Real>(m) : 0;
      mean.data<Real>()[channel] = average;
      inv_std.data<Real>()[channel] = 1 / std::sqrt(var + static_cast<Real>(params.eps));
      normalize(in, params, channel, average, inv_std.data<Real>()[channel], y);
      if (m < 2) continue;
      Real& running_average = in.running_mean.data<Real>()[channel];
      Real& running_variance = in.running_var.data<Real>()[channel];
      running_average = (1 - momentum) * running_average + momentum * average;
      running_variance =
          (1 - momentum) * running_variance + momentum * squares / static_cast<Real>(m - 1);
    }
  });
}

void run_forward_eval(const BatchNormInputs& in, const BatchNormParams& params, const Tensor& y) {
  for_real("batch_norm", in.x.dtype(), [&]<typename Real>() {
    for (std::int64_t channel = 0; channel < channels(in.x); ++channel) {
      const Real var = in.running_var.data<Real>()[channel];
      normalize(in, params, channel, in.running_mean.data<Real>()[channel],
                1 / std::sqrt(var + static_cast<Real>(params.eps)), y);
    }
  });
}

template <typename Real>
void backward_channel(const Tensor& dy, const BatchNormSaved& saved, std::int64_t channel,
                      Real inv_std, bool training, const BatchNormGradients& to) {
  const Tensor& x = saved.x;
  const Real mean = saved.mean.data<Real>()[channel];
  const auto gradient = [&](std::int64_t i) {
    return saved.y.defined() && !(saved.y.data<Real>()[i] > 0) ? 0 : dy.data<Real>()[i];
  };
  const auto normal = [&](std::int64_t i) { return (x.data<Real>()[i] - mean) * inv_std; };
  const Real dbeta = sum_over<Real>(x, channel, gradient);
  const Real dgamma =
      sum_over<Real>(x, channel, [&](std::int64_t i) { return gradient(i) * normal(i); });
  if (to.dgamma.defined()) deliver(dgamma, to.dgamma_write, to.dgamma.data<Real>()[channel]);
  if (to.dbeta.defined()) deliver(dbeta, to.dbeta_write, to.dbeta.data<Real>()[channel]);
  const Real m = static_cast<Real>(values_per_channel(x));
  for (std::int64_t i = channel; i < x.elements(); i += channels(x)) {
    if (to.dresidual.defined()) {
      deliver(gradient(i), to.dresidual_write, to.dresidual.data<Real>()[i]);
    }
    if (!to.dx.defined()) continue;
    Real dx = gradient(i);
    if (training) dx -= dbeta / m + dgamma / m * normal(i);
    dx *= saved.gamma.data<Real>()[channel] * inv_std;
    deliver(dx, to.dx_write, to.dx.data<Real>()[i]);
  }
}

void run_backward_train(const Tensor& dy, const BatchNormSaved& saved, const BatchNormParams&,
                        const Tensor&, const BatchNormGradients& to) {
  for_real("batch_norm", dy.dtype(), [&]<typename Real>() {
    for (std::int64_t channel = 0; channel < channels(saved.x); ++channel) {
      backward_channel<Real>(dy, saved, channel, saved.spread.data<Real>()[channel], true, to);
    }
  });
}

void run_backward_eval(const Tensor& dy, const BatchNormSaved& saved, const BatchNormParams& params,
                       const Tensor&, const BatchNormGradients& to) {
  for_real("batch_norm", dy.dtype(), [&]<typename Real>() {
    for (std::int64_t channel = 0; channel < channels(saved.x); ++channel) {
      const Real var = saved.spread.data<Real>()[channel];
      backward_channel<Real>(dy, saved, channel, 1 / std::sqrt(var + static_cast<Real>(params.eps)),
                             false, to);
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
