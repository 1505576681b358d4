// unary in plain loops: the definition of right, with the standard library's functions.
#include <cmath>

#include "kernels/unary/unary.h"

namespace cucina {
namespace {

const double kPi = std::acos(-1.0);

double sigmoid_of(double x) { return 1 / (1 + std::exp(-x)); }
double gelu_tanh_inner(double x) { return std::sqrt(2 / kPi) * (x + 0.044715 * x * x * x); }

double value(const UnaryParams& params, double x) {
  if (params.kind == UnaryKind::clamp) return x < params.a ? params.a : x > params.b ? params.b : x;
  if (params.kind == UnaryKind::scale) return params.a * x + params.b;
  switch (params.activation) {
    case Activation::none:
      return x;
    case Activation::relu:
      return x <= 0 ? 0 : x;
    case Activation::gelu:
      return 0.5 * x * (1 + std::erf(x / std::sqrt(2.0)));
    case Activation::gelu_tanh:
      return 0.5 * x * (1 + std::tanh(gelu_tanh_inner(x)));
    case Activation::silu:
      return x * sigmoid_of(x);
    case Activation::sigmoid:
      return sigmoid_of(x);
    case Activation::tanh:
      return std::tanh(x);
  }
  return x;
}

// dy f'(x), from x or from y as unary_keeps() says.
double gradient(const UnaryParams& params, double dy, double kept) {
  const double x = kept, y = kept;
  if (params.kind == UnaryKind::clamp) return x >= params.a && x <= params.b ? dy : 0;
  if (params.kind == UnaryKind::scale) return params.a * dy;
  switch (params.activation) {
    case Activation::none:
      return dy;
    case Activation::relu:
      return y > 0 ? dy : 0;
    case Activation::gelu: {
      const double density = std::exp(-0.5 * x * x) / std::sqrt(2 * kPi);
      return dy * (0.5 * (1 + std::erf(x / std::sqrt(2.0))) + x * density);
    }
    case Activation::gelu_tanh: {
      const double t = std::tanh(gelu_tanh_inner(x));
      const double slope = std::sqrt(2 / kPi) * (1 + 3 * 0.044715 * x * x);
      return dy * (0.5 * (1 + t) + 0.5 * x * (1 - t * t) * slope);
    }
    case Activation::silu: {
      const double s = sigmoid_of(x);
      return dy * (s * (1 + x * (1 - s)));
    }
    case Activation::sigmoid:
      return dy * (y * (1 - y));
    case Activation::tanh:
      return dy * (1 - y * y);
  }
  return dy;
}

void run_forward(const Tensor& x, const UnaryParams& params, const Tensor& y) {
  for_real("unary", x.dtype(), [&]<typename Real>() {
    for (std::int64_t i = 0; i < x.elements(); ++i) {
      y.data<Real>()[i] = static_cast<Real>(value(params, x.data<Real>()[i]));
    }
  });
}

void run_backward(const Tensor& dy, const Tensor& kept, const UnaryParams& params, Write write,
                  const Tensor& dx) {
  for_real("unary", dy.dtype(), [&]<typename Real>() {
    for (std::int64_t i = 0; i < dy.elements(); ++i) {
      const double at = kept.defined() ? kept.data<Real>()[i] : 0;
      const auto product = static_cast<Real>(gradient(params, dy.data<Real>()[i], at));
      Real& to = dx.data<Real>()[i];
      to = write == Write::accumulate ? to + product : product;
    }
  });
}

}  // namespace

UnaryOp UnaryOp::reference() {
  return {.dtypes = kReal, .forward = run_forward, .backward = run_backward};
}

}  // namespace cucina
