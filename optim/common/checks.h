// What the front doors of all optimisers check.
#pragma once

#include <string_view>

#include "core/tensor.h"
#include "optim/common/step_state.h"

namespace cucina {

// Throws Error naming `optimizer` unless `tensor` has the shape, dtype and device of `parameters`.
void check_like_parameters(std::string_view optimizer, std::string_view tensor_name,
                           const Tensor& tensor, const Tensor& parameters);

// Throws Error naming `optimizer` unless `scalar` is one `dtype` on the device of `parameters`.
void check_state_scalar(std::string_view optimizer, std::string_view scalar_name,
                        const Tensor& scalar, DType dtype, const Tensor& parameters);

// Throws Error naming `optimizer` unless all of `state` is as StepState says.
void check_state(std::string_view optimizer, const StepState& state, const Tensor& parameters);

// Throws Error naming `optimizer` unless `copy` is undefined, or bf16 of the shape and on the
// device of `parameters`.
void check_bf16_copy(std::string_view optimizer, const Tensor& copy, const Tensor& parameters);

// Throws Error naming `optimizer` unless value >= 0.
void check_not_negative(std::string_view optimizer, std::string_view value_name, double value);

}  // namespace cucina
