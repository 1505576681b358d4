// Elementwise kernels: a function of one or two numbers, applied to whole tensors by simt's map.
#pragma once

#include <algorithm>
#include <cstdint>
#include <initializer_list>

#include "core/tensor.h"
#include "kernels/common/pack.h"
#include "kernels/simt/map.h"
#include "kernels/simt/simt.h"

namespace cucina {
// Every .cu file has its own copy: nvcc and g++ compile the same names to different code.
namespace {

// Operands: one number for every element of a matrix, or one for every column.
template <typename T>
struct ByElement {
  using Type = T;
  const T* at;
  template <int kWidth>
  __device__ __forceinline__ Pack<Compute<T>, kWidth> load(std::int64_t i, std::int64_t) const {
    return load_wide<kWidth>(at + i);
  }
};

template <typename T>
struct ByColumn {
  using Type = T;
  const T* at;
  template <int kWidth>
  __device__ __forceinline__ Pack<Compute<T>, kWidth> load(std::int64_t,
                                                           std::int64_t column) const {
    return load_wide<kWidth>(at + column);
  }
};

// Where results go. The two ways are two types: with a branch between them inside, plain loops of
// long functions are not vectorised.
template <typename T, bool kAccumulate>
struct Destination {
  using Type = T;
  T* at;
  template <int kWidth>
  __device__ __forceinline__ void put(const Pack<Compute<T>, kWidth>& pack, std::int64_t i) const {
    store_rounded(pack, at + i, kAccumulate);
  }
};

// Calls f(destination) with y's.
template <typename T, typename F>
void with_destination(const Tensor& y, Write write, const F& f) {
  if (write == Write::accumulate) {
    f(Destination<T, true>{y.data<T>()});
  } else {
    f(Destination<T, false>{y.data<T>()});
  }
}

template <typename F, typename X, typename Y>
struct UnaryMap {
  F f;
  X x;
  Y y;

  __device__ __forceinline__ const UnaryMap& row(std::int64_t) const { return *this; }
  template <int kWidth>
  __device__ __forceinline__ void at(std::int64_t i, std::int64_t column) const {
    const auto in = x.template load<kWidth>(i, column);
    Pack<Compute<typename Y::Type>, kWidth> out;
    for (int j = 0; j < kWidth; ++j) out.at[j] = f(in.at[j]);
    y.put(out, i);
  }
};

template <typename F, typename A, typename B, typename Y>
struct BinaryMap {
  F f;
  A a;
  B b;
  Y y;

  __device__ __forceinline__ const BinaryMap& row(std::int64_t) const { return *this; }
  template <int kWidth>
  __device__ __forceinline__ void at(std::int64_t i, std::int64_t column) const {
    const auto left = a.template load<kWidth>(i, column);
    const auto right = b.template load<kWidth>(i, column);
    Pack<Compute<typename Y::Type>, kWidth> out;
    for (int j = 0; j < kWidth; ++j) out.at[j] = f(left.at[j], right.at[j]);
    y.put(out, i);
  }
};

// How map_rows() is to see elements; one row when no operand cares.
struct MapShape {
  std::int64_t rows, columns;
};
inline MapShape one_row(const Tensor& x) { return {1, x.elements()}; }
inline MapShape rows_of_channels(const Tensor& x) {
  const std::int64_t columns = x.size(-1);
  return {columns == 0 ? 0 : x.elements() / columns, columns};
}

// Do the rows and the addresses of all tensors allow packs of `width`?
inline bool packs_fit(const MapShape& shape, std::initializer_list<Tensor> tensors,
                      std::uintptr_t width) {
  if (shape.rows != 1 && shape.columns % static_cast<std::int64_t>(width) != 0) return false;
  return std::ranges::all_of(tensors, [&](const Tensor& tensor) {
    const std::uintptr_t bytes = width * size_of(tensor.dtype());
    return reinterpret_cast<std::uintptr_t>(tensor.raw()) % (bytes < 16 ? bytes : 16) == 0;
  });
}

// Runs `functor` over the elements, kWidth at a time where they allow it.
template <int kWidth, typename Functor>
void map_packs(const char* name, const Stream& stream, const MapShape& shape,
               std::initializer_list<Tensor> tensors, const Functor& functor) {
  simt::map_rows<kWidth>(name, stream, shape.rows, shape.columns, packs_fit(shape, tensors, kWidth),
                         functor);
}

// 16 bytes' worth of the narrowest of the types.
template <typename... Ts>
inline constexpr int kPackWidth = static_cast<int>(16 / std::min({sizeof(Ts)...}));

// y = f(x), element by element; f computes in Compute<X>.
template <typename X, typename T, typename F, typename Y = Destination<T, false>>
void map_to(const char* name, const F& f, const Tensor& x, const Tensor& y) {
  map_packs<kPackWidth<X, T>>(name, y.stream(), one_row(y), {x, y},
                              UnaryMap<F, ByElement<X>, Y>{f, {x.data<X>()}, {y.data<T>()}});
}

// y = f(a, b), where b is like a, or a vector over its last axis.
template <typename T, typename F, typename Y = Destination<T, false>>
void map_to(const char* name, const F& f, const Tensor& a, const Tensor& b, const Tensor& y) {
  const ByElement<T> left{a.data<T>()};
  const Y to{y.data<T>()};
  if (b.shape() == a.shape()) {
    map_packs<kPackWidth<T>>(
        name, y.stream(), one_row(y), {a, b, y},
        BinaryMap<F, ByElement<T>, ByElement<T>, Y>{f, left, {b.data<T>()}, to});
  } else {
    map_packs<kPackWidth<T>>(
        name, y.stream(), rows_of_channels(y), {a, b, y},
        BinaryMap<F, ByElement<T>, ByColumn<T>, Y>{f, left, {b.data<T>()}, to});
  }
}

// The same, delivered as `write` says.
template <typename X, typename T, typename F>
void map_into(const char* name, const F& f, const Tensor& x, Write write, const Tensor& y) {
  if (write == Write::overwrite) return map_to<X, T>(name, f, x, y);
  map_to<X, T, F, Destination<T, true>>(name, f, x, y);
}

template <typename T, typename F>
void map_into(const char* name, const F& f, const Tensor& a, const Tensor& b, Write write,
              const Tensor& y) {
  if (write == Write::overwrite) return map_to<T>(name, f, a, b, y);
  map_to<T, F, Destination<T, true>>(name, f, a, b, y);
}

}  // namespace
}  // namespace cucina
