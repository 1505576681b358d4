// Shape: checks on construction, access, printing.
#include "core/shape.h"

#include "core/error.h"

namespace cucina {

Shape::Shape(std::span<const std::int64_t> sizes) {
  if (sizes.size() > kMaxRank) {
    fail("shape: {} dimensions given, at most {} are supported", sizes.size(), kMaxRank);
  }
  rank_ = static_cast<int>(sizes.size());
  for (int i = 0; i < rank_; ++i) {
    const std::int64_t size = sizes[static_cast<std::size_t>(i)];
    if (size < 0) fail("shape: dimension {} is {}, sizes are not negative", i, size);
    sizes_[static_cast<std::size_t>(i)] = size;
    if (__builtin_mul_overflow(elements_, size, &elements_)) {
      fail("shape: the product of the sizes overflows 64 bits at dimension {} of size {}", i, size);
    }
  }
}

std::int64_t Shape::operator[](int i) const {
  const int index = i < 0 ? i + rank_ : i;
  if (index < 0 || index >= rank_) fail("shape: dimension {} of {} asked for", i, to_string(*this));
  return sizes_[static_cast<std::size_t>(index)];
}

std::string to_string(const Shape& shape) {
  std::string text = "(";
  for (int i = 0; i < shape.rank(); ++i) {
    if (i > 0) text += ", ";
    text += std::to_string(shape[i]);
  }
  return text + ")";
}

}  // namespace cucina
