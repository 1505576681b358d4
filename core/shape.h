// Shape: the sizes of a tensor, without a heap allocation.
#pragma once

#include <array>
#include <cstdint>
#include <initializer_list>
#include <span>
#include <string>

namespace cucina {

// Up to six sizes, outermost first; contiguous, so sizes are all there is. Rank 0 is a scalar with
// one element.
class Shape {
 public:
  static constexpr int kMaxRank = 6;

  Shape() = default;
  Shape(std::initializer_list<std::int64_t> sizes)
      : Shape(std::span(sizes.begin(), sizes.size())) {}
  // throws Error when there are more than kMaxRank sizes, one is negative, or their product
  // overflows
  explicit Shape(std::span<const std::int64_t> sizes);

  int rank() const { return rank_; }
  // The size of dimension `i`; a negative i counts from the end. Throws Error when out of range.
  std::int64_t operator[](int i) const;
  std::int64_t elements() const { return elements_; }
  std::span<const std::int64_t> sizes() const {
    return {sizes_.data(), static_cast<std::size_t>(rank_)};
  }
  bool operator==(const Shape& other) const = default;

 private:
  std::array<std::int64_t, kMaxRank> sizes_{};
  std::int64_t elements_ = 1;
  int rank_ = 0;
};

// "(64, 28, 28, 1)"
std::string to_string(const Shape& shape);

}  // namespace cucina
