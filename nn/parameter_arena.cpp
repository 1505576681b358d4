// Lays parameters and gradients out in two flat buffers.
#include "nn/parameter_arena.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "core/autograd.h"
#include "core/error.h"

namespace cucina::nn {
namespace {

constexpr std::int64_t kAlignment = 64;  // bytes: a cache line, and the widest vector load

// The part of a flat buffer that begins at element `offset`, under another shape.
Tensor part(const Tensor& buffer, std::int64_t offset, const Shape& shape) {
  std::int64_t elements = shape.elements();
  return buffer.rows(offset, offset + elements).reshape(shape).detach();
}

constexpr std::size_t kFrozen = std::numeric_limits<std::size_t>::max();

struct Entry {
  NamedTensor named;
  std::size_t group;
  bool is_weight;
};

// The module's parameters as the arena has them: by group, weights first.
std::vector<Entry> ordered(const Module& module, const ParameterArena::GroupOf& group_of) {
  std::vector<Entry> entries;
  for (const NamedTensor& named : module.parameters()) {
    const std::size_t group = group_of ? group_of(named.name) : 0;
    entries.push_back({.named = named,
                       .group = named.tensor.requires_grad() ? group : kFrozen,
                       .is_weight = named.tensor.shape().rank() >= 2});
  }
  if (entries.empty()) fail("arena: the module has no parameters; give it a layer that has");
  std::stable_sort(entries.begin(), entries.end(), [](const Entry& a, const Entry& b) {
    return std::pair(a.group, !a.is_weight) < std::pair(b.group, !b.is_weight);
  });
  return entries;
}

}  // namespace

ParameterArena::ParameterArena(const Module& module, Device device, const GroupOf& group_of) {
  const std::vector<Entry> entries = ordered(module, group_of);
  const DType dtype = entries[0].named.tensor.dtype();
  const std::int64_t step = kAlignment / static_cast<std::int64_t>(size_of(dtype));
  std::int64_t elements = 0;
  for (const auto& [named, group, is_weight] : entries) {
    if (named.tensor.dtype() != dtype)
      fail("arena: {} is {} but {} is {}; one arena holds one dtype", entries[0].named.name,
           name(dtype), named.name, name(named.tensor.dtype()));
    if (std::any_of(slots_.begin(), slots_.end(),
                    [&](const Slot& slot) { return slot.parameter.same(named.tensor); }))
      continue;
    slots_.push_back({named.name, named.tensor, elements});
    const std::int64_t begin = elements;
    elements += (named.tensor.elements() + step - 1) / step * step;
    if (group == kFrozen) continue;
    if (segments_.empty() || segments_.back().group != group)
      segments_.push_back({.group = group, .begin = begin, .weights_end = begin, .end = begin});
    segments_.back().end = elements;
    if (is_weight) segments_.back().weights_end = elements;
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
    set_name(slot.parameter, slot.name);
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
