// The activations: one number in, one out, and their derivatives; for kernels of their own and for
// the epilogues of products.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "core/math.h"

namespace cucina {

enum class Activation : std::uint8_t { none, relu, gelu, gelu_tanh, silu, sigmoid, tanh };

constexpr std::string_view name(Activation activation) {
  constexpr std::string_view kNames[] = {"none", "relu",    "gelu", "gelu_tanh",
                                         "silu", "sigmoid", "tanh"};
  return kNames[static_cast<std::size_t>(activation)];
}

// Does the derivative follow from the activation's value alone, so that x need not be kept?
constexpr bool differentiable_by_output(Activation activation) {
  return activation == Activation::none || activation == Activation::relu ||
         activation == Activation::sigmoid || activation == Activation::tanh;
}

namespace activation {

// Real is float or double. constexpr, so that kernels may call them without annotations.
//   NaN      gives NaN
//   source   gelu: Hendrycks & Gimpel 2016, arXiv:1606.08415; silu: Elfwing et al. 2017,
//            arXiv:1702.03118
template <typename Real>
constexpr Real sigmoid(Real x) {
  return Real(1) / (Real(1) + math::exp(-x));
}

template <Activation kActivation, typename Real>
constexpr Real value(Real x) {
  if constexpr (kActivation == Activation::relu) {
    return x <= Real(0) ? Real(0) : x;  // this way round NaN passes through
  } else if constexpr (kActivation == Activation::gelu) {
    return Real(0.5) * x * (Real(1) + math::erf(x * Real(0.70710678118654752440)));
  } else if constexpr (kActivation == Activation::gelu_tanh) {
    const Real inner = Real(0.79788456080286535588) * (x + Real(0.044715) * x * x * x);
    return Real(0.5) * x * (Real(1) + math::tanh(inner));
  } else if constexpr (kActivation == Activation::silu) {
    return x * sigmoid(x);
  } else if constexpr (kActivation == Activation::sigmoid) {
    return sigmoid(x);
  } else if constexpr (kActivation == Activation::tanh) {
    return math::tanh(x);
  } else {
    return x;
  }
}

// The derivative at x, where the value is y; uses y alone where differentiable_by_output says so.
template <Activation kActivation, typename Real>
constexpr Real derivative(Real x, Real y) {
  if constexpr (kActivation == Activation::relu) {
    return y > Real(0) ? Real(1) : Real(0);
  } else if constexpr (kActivation == Activation::gelu) {
    const Real density = Real(0.39894228040143267794) * math::exp(Real(-0.5) * x * x);
    return Real(0.5) * (Real(1) + math::erf(x * Real(0.70710678118654752440))) + x * density;
  } else if constexpr (kActivation == Activation::gelu_tanh) {
    const Real slope = Real(0.79788456080286535588) * (Real(1) + Real(3 * 0.044715) * x * x);
    const Real t = math::tanh(Real(0.79788456080286535588) * (x + Real(0.044715) * x * x * x));
    return Real(0.5) * (Real(1) + t) + Real(0.5) * x * (Real(1) - t * t) * slope;
  } else if constexpr (kActivation == Activation::silu) {
    const Real s = sigmoid(x);
    return s * (Real(1) + x * (Real(1) - s));
  } else if constexpr (kActivation == Activation::sigmoid) {
    return y * (Real(1) - y);
  } else if constexpr (kActivation == Activation::tanh) {
    return Real(1) - y * y;
  } else {
    return Real(1);
  }
}

// Calls f.template operator()<kActivation>() for the activation at run time.
template <typename F>
constexpr void dispatch(Activation activation, F&& f) {
  switch (activation) {
    case Activation::none:
      return f.template operator()<Activation::none>();
    case Activation::relu:
      return f.template operator()<Activation::relu>();
    case Activation::gelu:
      return f.template operator()<Activation::gelu>();
    case Activation::gelu_tanh:
      return f.template operator()<Activation::gelu_tanh>();
    case Activation::silu:
      return f.template operator()<Activation::silu>();
    case Activation::sigmoid:
      return f.template operator()<Activation::sigmoid>();
    case Activation::tanh:
      return f.template operator()<Activation::tanh>();
  }
}

}  // namespace activation
}  // namespace cucina
