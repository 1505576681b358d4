// The sentences for what dropout and dropout2d refuse.
#include "kernels/common/dropout_checks.h"

#include "core/error.h"

namespace cucina {

void check_drop_probability(std::string_view op, float p) {
  if (!(p >= 0 && p < 1)) fail("{}: p is {} but must be in [0, 1)", op, p);
}

void check_drop_step(std::string_view op, const Tensor& x, const Tensor& step) {
  if (!step.defined()) {
    fail("{}: step is missing; give the training step as i32 (1) on {}", op, name(x.device()));
  }
  if (step.dtype() != DType::i32 || step.elements() != 1 || step.device() != x.device()) {
    fail("{}: step is {} but must be i32 (1) on {}, as x is", op, describe(step), name(x.device()));
  }
}

}  // namespace cucina
