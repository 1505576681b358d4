// The sentences for optimiser arguments that do not fit together.
#include "optim/common/checks.h"

#include "core/error.h"

namespace cucina {

void check_like_parameters(std::string_view optimizer, std::string_view tensor_name,
                           const Tensor& tensor, const Tensor& parameters) {
  if (!tensor.defined()) {
    fail("{}: {} is missing; it must be {}, as parameters", optimizer, tensor_name,
         describe(parameters));
  }
  if (tensor.shape() != parameters.shape() || tensor.dtype() != parameters.dtype() ||
      tensor.device() != parameters.device()) {
    fail("{}: {} is {} but parameters is {}; they must agree", optimizer, tensor_name,
         describe(tensor), describe(parameters));
  }
}

void check_state_scalar(std::string_view optimizer, std::string_view scalar_name,
                        const Tensor& scalar, DType dtype, const Tensor& parameters) {
  if (!scalar.defined()) {
    fail("{}: {} is missing; it must be {} (1) on {}", optimizer, scalar_name, name(dtype),
         name(parameters.device()));
  }
  if (scalar.dtype() != dtype || scalar.elements() != 1 || scalar.device() != parameters.device()) {
    fail("{}: {} is {} but must be {} (1) on {}", optimizer, scalar_name, describe(scalar),
         name(dtype), name(parameters.device()));
  }
}

void check_state(std::string_view optimizer, const StepState& state, const Tensor& parameters) {
  check_state_scalar(optimizer, "lr", state.lr, DType::f32, parameters);
  check_state_scalar(optimizer, "step", state.step, DType::i32, parameters);
  check_state_scalar(optimizer, "arrivals", state.arrivals, DType::i32, parameters);
}

void check_bf16_copy(std::string_view optimizer, const Tensor& copy, const Tensor& parameters) {
  if (!copy.defined()) return;
  if (copy.shape() != parameters.shape() || copy.dtype() != DType::bf16 ||
      copy.device() != parameters.device()) {
    fail("{}: bf16_copy is {} but must be bf16 {} on {}, or undefined", optimizer, describe(copy),
         to_string(parameters.shape()), name(parameters.device()));
  }
}

void check_not_negative(std::string_view optimizer, std::string_view value_name, double value) {
  if (!(value >= 0)) fail("{}: {} is {} but must be at least 0", optimizer, value_name, value);
}

}  // namespace cucina
