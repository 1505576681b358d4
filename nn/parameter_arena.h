// ParameterArena: all parameters of a model in one flat buffer, all gradients in another.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "core/tensor.h"
#include "nn/module.h"

namespace cucina::nn {

// Moves the parameters of a module into one buffer and makes backward() write their gradients into
// another, laid out alike. So an optimiser's step is one launch, and clearing, norms and
// communication see one array each. Every parameter starts at a multiple of 64 bytes; the gaps hold
// zeros in both buffers. Weights come first, then what has one dimension (biases, and what
// normalisations learn), each in the module's order: weight decay is for the first part alone. What
// is frozen comes last, behind all that an optimiser sees. A tensor shared by two layers has one
// place.
class ParameterArena {
 public:
  struct Slot {
    std::string name;  // the first, where a tensor has two
    Tensor parameter;
    std::int64_t offset = 0;  // in elements
  };

  // The trained parameters of one group: elements [begin, end), weights up to weights_end.
  struct Segment {
    std::size_t group = 0;
    std::int64_t begin = 0, weights_end = 0, end = 0;
  };
  // The group of a parameter by its name, counted from 0.
  using GroupOf = std::function<std::size_t(const std::string& name)>;

  // throws   Error when the module has no parameters, or they differ in dtype
  explicit ParameterArena(const Module& module, Device device = Device::cpu,
                          const GroupOf& group_of = {});

  // Flat views: one dimension, the same size.
  const Tensor& values() const { return values_; }
  const Tensor& gradients() const { return gradients_; }
  const std::vector<Slot>& slots() const { return slots_; }
  // Of the groups that have parameters, in their order; without groups one, without anything to
  // train none.
  const std::vector<Segment>& segments() const { return segments_; }
  // Parameters begin at multiples of so many elements.
  std::int64_t alignment() const;
  Device device() const { return values_.device(); }

  // Before a backward(): it then overwrites instead of adding. Touches no memory.
  void clear_gradients() const;
  // After the last backward() of a step: the gradient of a parameter that received none is set to
  // zero, as the memory still holds the previous step's.
  void complete_gradients() const;
  // Moves everything to `device`; gradients become undefined, as after clear_gradients().
  void move_to(Device device);

 private:
  void place(Device device, std::int64_t elements, DType dtype);

  std::vector<Slot> slots_;
  std::vector<Segment> segments_;
  Tensor values_;
  Tensor gradients_;
};

}  // namespace cucina::nn
