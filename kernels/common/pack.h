// Pack: a few adjacent channels, moved and computed by one thread at once.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <type_traits>

#include "core/tensor.h"
#include "kernels/simt/simt.h"

namespace cucina {
// Every .cu file has its own copy: nvcc and g++ compile the same names to different code.
namespace {

template <typename T, int kWidth>
struct alignas(sizeof(T) * kWidth < 16 ? sizeof(T) * kWidth : 16) Pack {
  T at[kWidth];
};

// Moved as a whole nvcc makes 16-byte moves of it, element by element it does not; g++ keeps it in
// registers element by element, and sends it through the stack as a whole.
inline constexpr bool kMovePacksWhole = std::is_same_v<simt::Target, Gpu>;

template <int kWidth, typename T>
__device__ __forceinline__ Pack<T, kWidth> load_pack(const T* from) {
  const auto& there = *reinterpret_cast<const Pack<T, kWidth>*>(from);
  if constexpr (kMovePacksWhole) {
    return there;
  } else {
    Pack<T, kWidth> pack;
    for (int j = 0; j < kWidth; ++j) pack.at[j] = there.at[j];
    return pack;
  }
}

template <int kWidth, typename T>
__device__ __forceinline__ void store_pack(const Pack<T, kWidth>& pack, T* to) {
  auto& there = *reinterpret_cast<Pack<T, kWidth>*>(to);
  if constexpr (kMovePacksWhole) {
    there = pack;
  } else {
    for (int j = 0; j < kWidth; ++j) there.at[j] = pack.at[j];
  }
}

template <int kWidth, typename T>
__device__ __forceinline__ void store_pack(Pack<T, kWidth> pack, T* to, bool accumulate) {
  if (accumulate) {
    const auto before = load_pack<kWidth>(to);
    for (int j = 0; j < kWidth; ++j) pack.at[j] += before.at[j];
  }
  store_pack(pack, to);
}

// A pack of T as numbers to compute with, and back.
template <int kWidth, typename T>
__device__ __forceinline__ Pack<Compute<T>, kWidth> load_wide(const T* from) {
  const auto narrow = load_pack<kWidth>(from);
  Pack<Compute<T>, kWidth> wide;
  for (int j = 0; j < kWidth; ++j) wide.at[j] = static_cast<Compute<T>>(narrow.at[j]);
  return wide;
}

template <int kWidth, typename T>
__device__ __forceinline__ void store_rounded(Pack<Compute<T>, kWidth> wide, T* to,
                                              bool accumulate = false) {
  if (accumulate) {
    const auto before = load_wide<kWidth>(to);
    for (int j = 0; j < kWidth; ++j) wide.at[j] += before.at[j];
  }
  Pack<T, kWidth> narrow;
  for (int j = 0; j < kWidth; ++j) narrow.at[j] = T(wide.at[j]);
  store_pack(narrow, to);
}

// Calls f.template operator()<kWidth>() with the widest pack, up to 8, that divides `c` channels
// and suits the address of every tensor. Undefined tensors do not count.
template <typename F>
void for_pack_width(std::int64_t c, std::initializer_list<Tensor> tensors, F&& f) {
  const auto fits = [&](std::uintptr_t width) {
    if (c % static_cast<std::int64_t>(width) != 0) return false;
    for (const Tensor& tensor : tensors) {
      if (!tensor.defined()) continue;
      const std::uintptr_t bytes = width * size_of(tensor.dtype());
      const auto address = reinterpret_cast<std::uintptr_t>(tensor.raw());
      if (address % (bytes < 16 ? bytes : 16) != 0) return false;
    }
    return true;
  };
  if (fits(8)) return f.template operator()<8>();
  if (fits(4)) return f.template operator()<4>();
  if (fits(2)) return f.template operator()<2>();
  f.template operator()<1>();
}

}  // namespace
}  // namespace cucina
