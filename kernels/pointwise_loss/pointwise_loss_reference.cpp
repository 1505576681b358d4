// The pointwise losses in plain loops, in double whatever the dtype: the definition of right.
#include <algorithm>
#include <cmath>

#include "kernels/pointwise_loss/pointwise_loss.h"

namespace cucina {
namespace {

using Kind = PointwiseLossParams::Kind;

// log(1 + e^x)
double softplus(double x) {
  return (x > 0 || std::isnan(x) ? x : 0) + std::log1p(std::exp(-std::fabs(x)));
}

double sigmoid(double x) { return 1 / (1 + std::exp(-x)); }

// The loss of one element and its derivative.
struct Term {
  double value, slope;
};

Term term(const PointwiseLossParams& params, double x, double t, double pos_weight) {
  const double e = x - t, delta = params.delta;
  switch (params.kind) {
    case Kind::mse:
      return {e * e, 2 * e};
    case Kind::huber:
      return {std::fabs(e) <= delta ? e * e / 2 : delta * (std::fabs(e) - delta / 2),
              e > delta    ? delta
              : e < -delta ? -delta
                           : e};
    default:
      return {(1 - t) * softplus(x) + pos_weight * t * softplus(-x),
              (1 - t) * sigmoid(x) - pos_weight * t * sigmoid(-x)};
  }
}

template <typename Real>
Term term_at(const PointwiseLossInputs& in, const PointwiseLossParams& params, std::int64_t i) {
  const double weight =
      in.pos_weight.defined() ? in.pos_weight.data<Real>()[i % in.pos_weight.elements()] : 1;
  return term(params, in.x.data<Real>()[i], in.target.data<Real>()[i], weight);
}

double divisor(const PointwiseLossInputs& in, const PointwiseLossParams& params) {
  return params.reduction == Reduction::mean ? static_cast<double>(in.x.elements()) : 1;
}

void run_forward(const PointwiseLossInputs& in, const PointwiseLossParams& params, const Tensor&,
                 const Tensor& loss) {
  for_real("pointwise_loss", in.x.dtype(), [&]<typename Real>() {
    double sum = 0;
    for (std::int64_t i = 0; i < in.x.elements(); ++i) sum += term_at<Real>(in, params, i).value;
    *loss.data<Real>() = static_cast<Real>(sum / divisor(in, params));
  });
}

void run_backward(const Tensor& dy, const PointwiseLossInputs& in,
                  const PointwiseLossParams& params, Write write, const Tensor& dx) {
  for_real("pointwise_loss", in.x.dtype(), [&]<typename Real>() {
    for (std::int64_t i = 0; i < in.x.elements(); ++i) {
      const double gradient =
          *dy.data<Real>() * (term_at<Real>(in, params, i).slope / divisor(in, params));
      Real& to = dx.data<Real>()[i];
      to = static_cast<Real>(write == Write::accumulate ? to + gradient : gradient);
    }
  });
}

}  // namespace

PointwiseLossOp PointwiseLossOp::reference() {
  return {.dtypes = kReal, .forward = run_forward, .backward = run_backward};
}

}  // namespace cucina
