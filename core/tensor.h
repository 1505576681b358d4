// Tensor: a handle to a contiguous block of numbers on one device, with its place in the autograd
// graph.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "core/device.h"
#include "core/dtype.h"
#include "core/memory.h"
#include "core/shape.h"
#include "core/stream.h"

namespace cucina {

struct TensorImpl;  // core/tensor_impl.h

// Copying a Tensor shares it: both handles see the same elements and the same gradient. Contiguous,
// C order; activations are (n, h, w, c), filters (k, r, s, c). A default-constructed Tensor is
// `undefined`: no elements, no shape.
class Tensor {
 public:
  Tensor() = default;

  // Elements are whatever the memory held.
  static Tensor empty(const Shape& shape, DType dtype = DType::f32, Device device = Device::cpu);
  static Tensor zeros(const Shape& shape, DType dtype = DType::f32, Device device = Device::cpu);
  static Tensor full(const Shape& shape, double value, DType dtype = DType::f32,
                     Device device = Device::cpu);
  // Copies `values` (as many as the shape has elements).
  template <typename T>
  static Tensor from(std::span<const T> values, const Shape& shape, Device device = Device::cpu);
  template <typename T>
  static Tensor from(const std::vector<T>& values, const Shape& shape,
                     Device device = Device::cpu) {
    return from(std::span<const T>(values), shape, device);
  }
  // A tensor over `storage`, from `byte_offset` on.
  static Tensor over(std::shared_ptr<Storage> storage, std::size_t byte_offset, const Shape& shape,
                     DType dtype);

  bool defined() const { return impl_ != nullptr; }
  const Shape& shape() const;
  std::int64_t size(int dimension) const { return shape()[dimension]; }
  std::int64_t elements() const { return shape().elements(); }
  std::size_t bytes() const;
  DType dtype() const;
  Device device() const;
  Stream stream() const { return Stream::current(device()); }

  void* raw() const;
  // The elements' address on device(). Throws Error when T is not this tensor's dtype.
  template <typename T>
  T* data() const {
    check_dtype(kDType<T>);
    return static_cast<T*>(raw());
  }
  // A host copy of the elements, converted to T; waits for the device.
  template <typename T>
  std::vector<T> to_vector() const;
  // The only element of a one-element tensor; waits for the device.
  double item() const;

  // The same elements elsewhere, or as another dtype; the tensor itself when nothing changes. Not
  // differentiable.
  Tensor to(Device device) const;
  Tensor to(DType dtype) const;
  // A copy with memory of its own, outside the graph.
  Tensor clone() const;
  // Overwrites the elements with those of `other`: same shape and dtype, any device.
  void copy_from(const Tensor& other) const;
  void fill(double value) const;
  void zero() const;

  // The same elements under another shape. Differentiable: the view's gradient is a view of its
  // base's gradient.
  Tensor reshape(const Shape& shape) const;
  // Keeps dimension 0 and joins the rest: (n, h, w, c) -> (n, h*w*c). Differentiable, as reshape.
  Tensor flatten() const;
  // Rows [begin, end) of dimension 0, sharing memory. Outside the graph.
  Tensor rows(std::int64_t begin, std::int64_t end) const;

  // --- autograd (core/autograd.h holds the graph itself) ---
  bool requires_grad() const;
  // Marks a leaf as a parameter. Throws Error on the result of a recorded op, or a dtype without
  // gradients.
  Tensor& set_requires_grad(bool value);
  // The gradient accumulated so far; undefined when there is none.
  Tensor grad() const;
  // Gives the gradient memory of its own choosing (an arena): backward() writes there.
  void set_grad_buffer(const Tensor& buffer) const;
  // Forgets the gradient; the next backward() overwrites instead of adding.
  void clear_grad() const;
  // Keeps the gradient of an intermediate result after backward().
  void retain_grad() const;
  // The same elements, outside the graph.
  Tensor detach() const;
  // Points this tensor (and every handle to it) at other memory, copying the elements there.
  void move_to(std::shared_ptr<Storage> storage, std::size_t byte_offset) const;

  // Two handles to the same tensor?
  bool same(const Tensor& other) const { return impl_ == other.impl_; }
  TensorImpl* impl() const { return impl_.get(); }

 private:
  explicit Tensor(std::shared_ptr<TensorImpl> impl);
  void check_dtype(DType wanted) const;
  TensorImpl& defined_impl() const;

  std::shared_ptr<TensorImpl> impl_;
};

// How a kernel delivers its result.
enum class Write : std::uint8_t { overwrite, accumulate };

// "f32 (64, 10) on cpu"
std::string describe(const Tensor& tensor);

}  // namespace cucina
