// ema: a running average of the parameters.
#pragma once

#include <string_view>
#include <vector>

#include "core/tensor.h"
#include "kernels/common/case.h"

namespace cucina {

// average += (1 - d) (parameters - average), in place, over a whole arena and in one launch: the
// same as d average + (1 - d) parameters, but weights that are rounded still sum to 1.
//   average     any shape, f32 or f64; updated. Start it as a copy of the parameters
//   parameters  as average
//   decay       f32, one element, same device: d lies in [0, 1]; 1 changes nothing
//   step        i32, one element, same device: t >= 0, the steps done so far. Then
//               d = min(decay, (1 + t) / (10 + t)), so that the first, bad parameters are soon
//               forgotten. Undefined: d = decay
//   NaN         or Inf in a parameter makes its average NaN or Inf, soon NaN, from then on
//   throws      Error when shapes, dtypes or devices differ
//   source   Polyak & Juditsky 1992, "Acceleration of stochastic approximation by averaging", with
//            weights that decay; the warm-up is that of TensorFlow's ExponentialMovingAverage
void ema_step(const Tensor& average, const Tensor& parameters, const Tensor& decay,
              const Tensor& step = {});

// What a backend provides.
struct EmaOp {
  static constexpr std::string_view kName = "ema";
  DTypes dtypes;
  void (*step)(const Tensor& average, const Tensor& parameters, const Tensor& decay,
               const Tensor& step);

  static EmaOp reference();
  template <typename Target>
  static EmaOp hand();
  // The vendors' libraries have no optimisers.
  template <typename Target>
  static EmaOp vendor() {
    return {};
  }
  static std::vector<Case> cases();
};

}  // namespace cucina
