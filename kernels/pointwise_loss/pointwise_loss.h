// Losses that compare predictions with targets element by element: squared error, Huber's, and
// binary cross entropy.
#pragma once

#include <string_view>
#include <vector>

#include "core/tensor.h"
#include "kernels/common/case.h"
#include "kernels/common/reduction.h"

namespace cucina {

// The mean, or sum, over all elements of (x - target)^2.
//   x, target  same shape, dtype and device; f32, f64 or bf16; at least one element
//   returns    (), of x's dtype, but f32 for bf16; a NaN or Inf in x or target makes it NaN or Inf
//   gradient   dx = dloss 2 (x - target) / d, with d the number of elements, or 1 for a sum; none
//              for target
//   throws     Error when shapes, dtypes or devices differ, x is empty (there is no mean), or
//   target
//              requires a gradient
Tensor mse_loss(const Tensor& x, const Tensor& target, Reduction reduction = Reduction::mean);

// As mse_loss with, for e = x - target, e^2 / 2 where |e| <= delta and delta (|e| - delta / 2)
// beyond.
//   gradient   dx = dloss e / d, with e clamped to [-delta, delta]; NaN passes through
//   throws     Error also when delta is not finite and positive
//   source     Huber 1964; PyTorch's huber_loss
Tensor huber_loss(const Tensor& x, const Tensor& target, double delta = 1,
                  Reduction reduction = Reduction::mean);

// As mse_loss with (1 - t) log(1 + e^x) + pos_weight t log(1 + e^-x), in nats: the cross entropy of
// probabilities t and 1 / (1 + e^-x), examples of t = 1 counted pos_weight times. No e^ overflows,
// and small losses keep their digits.
//   pos_weight (c) for x (..., c), of the dtype of the loss; or undefined: all 1
//   gradient   dx = dloss ((1 - t) / (1 + e^-x) - pos_weight t / (1 + e^x)) / d
//   throws     Error also when pos_weight is not (c) or requires a gradient
//   source     PyTorch's binary_cross_entropy_with_logits
Tensor bce_with_logits(const Tensor& x, const Tensor& target, const Tensor& pos_weight = {},
                       Reduction reduction = Reduction::mean);

struct PointwiseLossParams {
  enum class Kind : std::uint8_t { mse, huber, bce } kind = Kind::mse;
  double delta = 1;  // of huber
  Reduction reduction = Reduction::mean;
};

struct PointwiseLossInputs {
  Tensor x, target;
  Tensor pos_weight;  // of bce; may be undefined
};

// What a backend provides.
struct PointwiseLossOp {
  static constexpr std::string_view kName = "pointwise_loss";
  DTypes dtypes;
  // `scratch` is PointwiseLossOp::scratch(x), its elements whatever they were.
  void (*forward)(const PointwiseLossInputs& in, const PointwiseLossParams& params,
                  const Tensor& scratch, const Tensor& loss);
  // The one-element dy, of the dtype of the loss, is read on the device.
  void (*backward)(const Tensor& dy, const PointwiseLossInputs& in,
                   const PointwiseLossParams& params, Write write, const Tensor& dx);

  static PointwiseLossOp reference();
  template <typename Target>
  static PointwiseLossOp hand();
  // The libraries have none of them.
  template <typename Target>
  static PointwiseLossOp vendor() {
    return {};
  }
  static constexpr std::int64_t kChunk = 4096;  // elements that a block adds up
  static Tensor scratch(const Tensor& x);
  static std::vector<Case> cases();
  static CaseSpace space();
};

}  // namespace cucina
