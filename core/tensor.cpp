// Tensors: making, reading, copying, converting and viewing them.
#include "core/tensor.h"

#include <cstring>

#include "core/error.h"
#include "core/tensor_impl.h"

namespace cucina {
namespace {

// Calls f.template operator()<T>() with the C++ type of `dtype`.
template <typename F>
auto for_any(DType dtype, F&& f) {
  switch (dtype) {
    case DType::f32:
      return f.template operator()<float>();
    case DType::f64:
      return f.template operator()<double>();
    case DType::bf16:
      return f.template operator()<bfloat16>();
    case DType::i32:
      return f.template operator()<std::int32_t>();
    case DType::u8:
      break;
  }
  return f.template operator()<std::uint8_t>();
}

// bf16 converts through float; everything else directly.
template <typename To, typename From>
To convert(From value) {
  if constexpr (std::is_same_v<From, bfloat16>) {
    return convert<To>(static_cast<float>(value));
  } else if constexpr (std::is_same_v<To, bfloat16>) {
    return bfloat16(static_cast<float>(value));
  } else {
    return static_cast<To>(value);
  }
}

template <typename To>
std::vector<To> host_copy(const Tensor& tensor) {
  const Tensor host = tensor.to(Device::cpu);
  std::vector<To> values(static_cast<std::size_t>(host.elements()));
  for_any(host.dtype(), [&]<typename From>() {
    const From* from = host.data<From>();
    for (std::size_t i = 0; i < values.size(); ++i) values[i] = convert<To>(from[i]);
  });
  return values;
}

}  // namespace

Tensor::Tensor(std::shared_ptr<TensorImpl> impl) : impl_(std::move(impl)) {}

Tensor Tensor::empty(const Shape& shape, DType dtype, Device device) {
  const auto bytes = static_cast<std::size_t>(shape.elements()) * size_of(dtype);
  return over(Storage::allocate(bytes, device), 0, shape, dtype);
}

Tensor Tensor::zeros(const Shape& shape, DType dtype, Device device) {
  const Tensor tensor = empty(shape, dtype, device);
  tensor.zero();
  return tensor;
}

Tensor Tensor::full(const Shape& shape, double value, DType dtype, Device device) {
  const Tensor tensor = empty(shape, dtype, device);
  tensor.fill(value);
  return tensor;
}

template <typename T>
Tensor Tensor::from(std::span<const T> values, const Shape& shape, Device device) {
  if (static_cast<std::int64_t>(values.size()) != shape.elements()) {
    fail("tensor: {} values given for shape {}, which has {} elements", values.size(),
         to_string(shape), shape.elements());
  }
  const Tensor tensor = empty(shape, kDType<T>, device);
  copy_bytes(tensor.raw(), device, values.data(), Device::cpu, tensor.bytes());
  return tensor;
}

Tensor Tensor::over(std::shared_ptr<Storage> storage, std::size_t byte_offset, const Shape& shape,
                    DType dtype) {
  const auto bytes = static_cast<std::size_t>(shape.elements()) * size_of(dtype);
  if (byte_offset > storage->bytes() || bytes > storage->bytes() - byte_offset) {
    fail("tensor: {} {} needs {} bytes from offset {}, but the storage has {}", name(dtype),
         to_string(shape), bytes, byte_offset, storage->bytes());
  }
  auto impl = std::make_shared<TensorImpl>();
  impl->storage = std::move(storage);
  impl->byte_offset = byte_offset;
  impl->shape = shape;
  impl->dtype = dtype;
  return Tensor(std::move(impl));
}

TensorImpl& Tensor::defined_impl() const {
  if (impl_ == nullptr) fail("tensor: an undefined tensor was used; give it elements first");
  return *impl_;
}

const Shape& Tensor::shape() const { return defined_impl().shape; }
DType Tensor::dtype() const { return defined_impl().dtype; }
Device Tensor::device() const { return defined_impl().storage->device(); }
std::size_t Tensor::bytes() const {
  return static_cast<std::size_t>(elements()) * size_of(dtype());
}

void* Tensor::raw() const {
  const TensorImpl& impl = defined_impl();
  return impl.storage->data() + impl.byte_offset;
}

void Tensor::check_dtype(DType wanted) const {
  if (dtype() != wanted) {
    fail("tensor: elements asked for as {} but they are {}", name(wanted), name(dtype()));
  }
}

template <typename T>
std::vector<T> Tensor::to_vector() const {
  return host_copy<T>(*this);
}

double Tensor::item() const {
  if (elements() != 1)
    fail("tensor: item() needs one element, {} has {}", describe(*this), elements());
  return host_copy<double>(*this)[0];
}

Tensor Tensor::to(Device target) const {
  if (target == device()) return *this;
  const Tensor copy = empty(shape(), dtype(), target);
  copy.copy_from(*this);
  return copy;
}

Tensor Tensor::to(DType target) const {
  if (target == dtype()) return *this;
  return for_any(target, [&]<typename To>() {
    return Tensor::from<To>(host_copy<To>(*this), shape(), device());
  });
}

Tensor Tensor::clone() const {
  const Tensor copy = empty(shape(), dtype(), device());
  copy.copy_from(*this);
  return copy;
}

void Tensor::copy_from(const Tensor& other) const {
  if (other.shape() != shape() || other.dtype() != dtype()) {
    fail("tensor: cannot copy {} into {}; shape and dtype must agree", describe(other),
         describe(*this));
  }
  copy_bytes(raw(), device(), other.raw(), other.device(), bytes());
}

void Tensor::fill(double value) const {
  if (value == 0) return zero();
  for_any(dtype(), [&]<typename T>() {
    const std::vector<T> values(static_cast<std::size_t>(elements()), convert<T>(value));
    copy_bytes(raw(), device(), values.data(), Device::cpu, bytes());
  });
}

void Tensor::zero() const { zero_bytes(raw(), device(), bytes()); }

Tensor Tensor::reshape(const Shape& target) const {
  if (target.elements() != elements()) {
    fail("reshape: {} has {} elements but {} has {}", to_string(shape()), elements(),
         to_string(target), target.elements());
  }
  // The record is shared, so that the view stands at its base's place in the graph; made now if the
  // base is still a leaf-to-be, as a later set_requires_grad() on either must be seen by both.
  record_of(*this);
  auto view = std::make_shared<TensorImpl>(defined_impl());
  view->shape = target;
  return Tensor(std::move(view));
}

Tensor Tensor::flatten() const {
  const std::int64_t n = size(0);
  std::int64_t rest = 1;
  for (int i = 1; i < shape().rank(); ++i) rest *= size(i);
  return reshape({n, rest});
}

Tensor Tensor::rows(std::int64_t begin, std::int64_t end) const {
  if (shape().rank() == 0 || begin < 0 || end < begin || end > size(0)) {
    fail("rows: [{}, {}) asked for of {}", begin, end, describe(*this));
  }
  std::vector<std::int64_t> sizes(shape().sizes().begin(), shape().sizes().end());
  const std::int64_t row = size(0) == 0 ? 0 : elements() / size(0);
  sizes[0] = end - begin;
  return over(defined_impl().storage,
              defined_impl().byte_offset + static_cast<std::size_t>(begin * row) * size_of(dtype()),
              Shape(std::span<const std::int64_t>(sizes)), dtype());
}

Tensor Tensor::detach() const {
  auto impl = std::make_shared<TensorImpl>(defined_impl());
  impl->record = nullptr;
  return Tensor(std::move(impl));
}

void Tensor::move_to(std::shared_ptr<Storage> storage, std::size_t byte_offset) const {
  const Tensor target = over(std::move(storage), byte_offset, shape(), dtype());
  if (target.device() == device()) {
    target.copy_from(*this);
  } else {
    target.copy_from(to(target.device()));
  }
  TensorImpl& impl = defined_impl();
  impl.storage = target.impl()->storage;
  impl.byte_offset = byte_offset;
  if (impl.record != nullptr) impl.record->device = target.device();
}

std::string describe(const Tensor& tensor) {
  if (!tensor.defined()) return "an undefined tensor";
  return fmt::format("{} {} on {}", name(tensor.dtype()), to_string(tensor.shape()),
                     name(tensor.device()));
}

template Tensor Tensor::from(std::span<const float>, const Shape&, Device);
template Tensor Tensor::from(std::span<const double>, const Shape&, Device);
template Tensor Tensor::from(std::span<const bfloat16>, const Shape&, Device);
template Tensor Tensor::from(std::span<const std::int32_t>, const Shape&, Device);
template Tensor Tensor::from(std::span<const std::uint8_t>, const Shape&, Device);
template std::vector<float> Tensor::to_vector() const;
template std::vector<double> Tensor::to_vector() const;
template std::vector<bfloat16> Tensor::to_vector() const;
template std::vector<std::int32_t> Tensor::to_vector() const;
template std::vector<std::uint8_t> Tensor::to_vector() const;

}  // namespace cucina
