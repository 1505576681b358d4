// Pack: a few adjacent channels, moved and computed by one thread at once.
#pragma once

#include <cstdint>
#include <initializer_list>

#include "core/tensor.h"
#include "kernels/simt/simt.h"

namespace cucina {

// Aligned so that a GPU moves it in as few instructions as there are 16 bytes in it; on the host a
// loop over `at` is one vector instruction.
template <typename T, int kWidth>
struct alignas(sizeof(T) * kWidth < 16 ? sizeof(T) * kWidth : 16) Pack {
  T at[kWidth];
};

template <int kWidth, typename T>
__device__ __forceinline__ Pack<T, kWidth> load_pack(const T* from) {
  return *reinterpret_cast<const Pack<T, kWidth>*>(from);
}

template <int kWidth, typename T>
__device__ __forceinline__ void store_pack(const Pack<T, kWidth>& pack, T* to) {
  *reinterpret_cast<Pack<T, kWidth>*>(to) = pack;
}

template <int kWidth, typename T>
__device__ __forceinline__ void store_pack(Pack<T, kWidth> pack, T* to, bool accumulate) {
  if (accumulate) {
    const auto before = load_pack<kWidth>(to);
    for (int j = 0; j < kWidth; ++j) pack.at[j] += before.at[j];
  }
  store_pack(pack, to);
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
      if (reinterpret_cast<std::uintptr_t>(tensor.raw()) % (bytes < 16 ? bytes : 16) != 0) {
        return false;
      }
    }
    return true;
  };
  if (fits(8)) return f.template operator()<8>();
  if (fits(4)) return f.template operator()<4>();
  if (fits(2)) return f.template operator()<2>();
  f.template operator()<1>();
}

}  // namespace cucina
