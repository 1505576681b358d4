// unary: functions of one number, applied to every element.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "core/tensor.h"
#include "kernels/common/activation.h"
#include "kernels/common/case.h"

namespace cucina {

// All take x of any shape in f32, f64 or bf16 and return y like x. Arithmetic on bf16 is in f32.
// The gradient is dx[i] = dy[i] f'(x[i]). NaN stays NaN.

// y = max(x, 0).
//   gradient dy where y > 0, else 0
//   source   Nair & Hinton 2010, "Rectified Linear Units Improve Restricted Boltzmann Machines"
Tensor relu(const Tensor& x);

// y = x Phi(x) with Phi the normal distribution: x (1 + erf(x / sqrt 2)) / 2. -Inf gives NaN.
//   source   Hendrycks & Gimpel 2016, arXiv:1606.08415
Tensor gelu(const Tensor& x);
// Its approximation x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))) / 2, off by at most 4.8e-4.
Tensor gelu_tanh(const Tensor& x);

// y = x sigmoid(x). -Inf gives NaN.
//   source   Elfwing et al. 2017, arXiv:1702.03118
Tensor silu(const Tensor& x);

// y = 1 / (1 + e^-x).
//   gradient dy y (1 - y)
Tensor sigmoid(const Tensor& x);

// y = tanh x.
//   gradient dy (1 - y^2)
Tensor tanh(const Tensor& x);

// y = low where x < low, high where x > high, else x.
//   gradient dy where low <= x <= high, else 0
//   throws   Error unless low <= high
Tensor clamp(const Tensor& x, double low, double high);

// y = a x + b.
//   gradient a dy
Tensor scale(const Tensor& x, double a, double b = 0);

enum class UnaryKind : std::uint8_t { activation, clamp, scale };
struct UnaryParams {
  UnaryKind kind = UnaryKind::activation;
  Activation activation = Activation::none;  // for UnaryKind::activation
  double a = 1, b = 0;                       // clamp: low and high; scale: a and b
};

// What backward needs of a kind.
enum class UnaryKeeps : std::uint8_t { nothing, x, y };
UnaryKeeps unary_keeps(const UnaryParams& params);

// What a backend provides.
struct UnaryOp {
  static constexpr std::string_view kName = "unary";
  DTypes dtypes;
  void (*forward)(const Tensor& x, const UnaryParams& params, const Tensor& y);
  // `kept` is x or y, as unary_keeps() says; undefined for nothing.
  void (*backward)(const Tensor& dy, const Tensor& kept, const UnaryParams& params, Write write,
                   const Tensor& dx);

  static UnaryOp reference();
  template <typename Target>
  static UnaryOp hand();
  template <typename Target>
  static UnaryOp vendor();
  static std::vector<Case> cases();
};

// cuDNN's activations lack most of these, and none can move fewer bytes.
template <>
inline UnaryOp UnaryOp::vendor<Gpu>() {
  return {};
}

}  // namespace cucina
