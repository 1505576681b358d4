// What a Tensor handle points at; for core/ only.
#pragma once

#include <memory>
#include <string>

#include "core/autograd.h"

namespace cucina {

// A tensor's place in the graph. A reshaped view shares its base's record, which is why views need
// no node and no kernel: writing the view's gradient writes the base's.
struct GradRecord {
  Shape shape;
  DType dtype = DType::f32;
  Device device = Device::cpu;
  std::string name;   // of a parameter; else empty
  bool leaf = false;  // a parameter: keeps its gradient
  bool retain = false;
  std::shared_ptr<Node> node;  // what made it; null for leaves
  Tensor grad;                 // undefined while there is none
  Tensor grad_buffer;          // where grad has to live; undefined: anywhere

  bool requires_grad() const { return leaf || node != nullptr; }
};

struct TensorImpl {
  std::shared_ptr<Storage> storage;
  std::size_t byte_offset = 0;
  Shape shape;
  DType dtype = DType::f32;
  std::shared_ptr<GradRecord> record;  // null until autograd needs one
};

// The tensor's record, made on first use.
GradRecord& record_of(const Tensor& tensor);

}  // namespace cucina
