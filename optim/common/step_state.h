// What changes from step to step, in device memory, so that a step can be captured and replayed.
#pragma once

#include <cstdint>
#include <limits>

#include "core/tensor.h"

namespace cucina {

// A count of elements that no arena has.
inline constexpr std::int64_t kAllElements = std::numeric_limits<std::int64_t>::max();

// All on the parameters' device.
struct StepState {
  Tensor lr;    // f32, one element
  Tensor step;  // i32, one element: steps done so far, 0 at first
  // i32, one element: 0 before and after a step. A step's blocks count themselves here, so that the
  // last of them counts the step, and all is one launch. Steps that may run at once need their own.
  Tensor arrivals;

  static StepState make(double lr, Device device) {
    return {.lr = Tensor::full({1}, lr, DType::f32, device),
            .step = Tensor::zeros({1}, DType::i32, device),
            .arrivals = Tensor::zeros({1}, DType::i32, device)};
  }
};

}  // namespace cucina
