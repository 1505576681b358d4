// Lays parameters and gradients out in two flat buffers.
#include "nn/parameter_arena.h"

#include <algorithm>

#include "core/error.h"

namespace cucina::nn {
namespace {

constexpr std::int64_t kAlignment = 64;  // bytes: a cache line, and the widest vector load

// The part of a flat buffer that begins at element `offset`, under another shape.
Tensor part(const Tensor& buffer, std::int64_t offset, const Shape& shape) {
  std::int64_t elements = shape.elements();
  return buffer.rows(offset, offset + elements).reshape(shape).detach();
}

}  // namespace

ParameterArena::ParameterArena(const Module& module, Device device) {
  std::vector<NamedTensor> parameters = module.parameters();
  if (parameters.empty()) fail("arena: the module has no parameters; give it a layer that has");
  const DType dtype = parameters[0].tensor.dtype();
  const auto is_trained = [](const NamedTensor& named) { return named.tensor.requires_grad(); };
  const auto is_weight = [](const NamedTensor& named) { return named.tensor.shape().rank() >= 2; };
  const auto frozen = std::stable_partition(parameters.begin(), parameters.end(), is_trained);
  std::stable_partition(parameters.begin(), frozen, is_weight);
  const std::int64_t step = kAlignment / static_cast<std::int64_t>(size_of(dtype));
  std::int64_t elements = 0;
  for (const NamedTensor& parameter : parameters) {
    if (parameter.tensor.dtype() != dtype)
      fail("arena: {} is {} but {} is {}; one arena holds one dtype", parameters[0].name,
           name(dtype), parameter.name, name(parameter.tensor.dtype()));
    if (std::any_of(slots_.begin(), slots_.end(),
                    [&](const Slot& slot) { return slot.parameter.same(parameter.tensor); }))
      continue;
    slots_.push_back({parameter.name, parameter.tensor, elements});
    elements += (parameter.tensor.elements() + step - 1) / step * step;
    if (is_trained(parameter)) trained_elements_ = elements;
    if (is_trained(parameter) && is_weight(parameter)) weight_elements_ = elements;
  }
  place(device, elements, dtype);
}

std::int64_t ParameterArena::alignment() const {
  return kAlignment / static_cast<std::int64_t>(size_of(values_.dtype()));
}

void ParameterArena::place(Device device, std::int64_t elements, DType dtype) {
  const auto storage =
      Storage::allocate(static_cast<std::size_t>(elements) * size_of(dtype), device);
  const Tensor values = Tensor::over(storage, 0, {elements}, dtype);
  values.zero();
  gradients_ = Tensor::zeros({elements}, dtype, device);
  for (const Slot& slot : slots_) {
    slot.parameter.move_to(storage, static_cast<std::size_t>(slot.offset) * size_of(dtype));
    slot.parameter.set_grad_buffer(part(gradients_, slot.offset, slot.parameter.shape()));
  }
  values_ = values;
}

void ParameterArena::clear_gradients() const {
  for (const Slot& slot : slots_) slot.parameter.clear_grad();
}

void ParameterArena::complete_gradients() const {
  for (const Slot& slot : slots_) {
    if (slot.parameter.requires_grad() && !slot.parameter.grad().defined())
      part(gradients_, slot.offset, slot.parameter.shape()).zero();
  }
}

void ParameterArena::move_to(Device device) {
  if (device == values_.device()) return;
  place(device, values_.elements(), values_.dtype());
}

}  // namespace cucina::nn
