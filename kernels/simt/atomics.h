// CUDA's atomics on the host: relaxed, as on the GPU, and real, because blocks run on several OS
// threads.
#pragma once

#include <bit>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <source_location>

#include "kernels/simt/host.h"

namespace cucina::simt {
inline namespace host {
namespace detail {

// Tells the race detector of an atomic access; only kernels compiled for it call this.
void observe_atomic(const void* address, std::size_t bytes, const std::source_location& where);

// The atomic itself is not instrumented: the detector hears of it through observe_atomic, with the
// kernel's line.
#ifdef __SANITIZE_THREAD__
#define CUCINA_SIMT_ATOMIC __attribute__((no_sanitize("thread"))) inline
#define CUCINA_SIMT_OBSERVE(address, where) \
  detail::observe_atomic(address, sizeof *(address), where)
#else
#define CUCINA_SIMT_ATOMIC inline
#define CUCINA_SIMT_OBSERVE(address, where) static_cast<void>(where)
#endif

template <std::size_t bytes>
struct WordOf;
template <>
struct WordOf<4> {
  using Type = std::uint32_t;
};
template <>
struct WordOf<8> {
  using Type = std::uint64_t;
};

// old = *address; *address = change(old), as one step.
template <typename T, typename Change>
CUCINA_SIMT_ATOMIC T atomic_update(T* address, Change change) {
  using Word = typename WordOf<sizeof(T)>::Type;
  Word* word = reinterpret_cast<Word*>(address);
  Word old = __atomic_load_n(word, __ATOMIC_RELAXED);
  while (!__atomic_compare_exchange_n(
      word, &old, std::bit_cast<Word>(static_cast<T>(change(std::bit_cast<T>(old)))), true,
      __ATOMIC_RELAXED, __ATOMIC_RELAXED)) {
  }
  return std::bit_cast<T>(old);
}

template <typename T, typename... Ts>
concept OneOf = (std::same_as<T, Ts> || ...);
template <typename T>
concept AtomicInteger = OneOf<T, int, unsigned, unsigned long long, long long, unsigned long, long>;
template <typename T>
concept AtomicNumber = AtomicInteger<T> || OneOf<T, float, double>;

}  // namespace detail

namespace cuda {

// Each returns the value before. The value's type is that of the word, as in CUDA's overloads.
template <detail::AtomicNumber T>
CUCINA_SIMT_ATOMIC T atomicAdd(T* address, std::type_identity_t<T> value,
                               std::source_location where = std::source_location::current()) {
  CUCINA_SIMT_OBSERVE(address, where);
  if constexpr (detail::AtomicInteger<T>) {
    return __atomic_fetch_add(address, value, __ATOMIC_RELAXED);
  } else {
    return detail::atomic_update(address, [value](T old) { return old + value; });
  }
}
template <detail::AtomicInteger T>
CUCINA_SIMT_ATOMIC T atomicSub(T* address, std::type_identity_t<T> value,
                               std::source_location where = std::source_location::current()) {
  CUCINA_SIMT_OBSERVE(address, where);
  return __atomic_fetch_sub(address, value, __ATOMIC_RELAXED);
}
template <detail::AtomicNumber T>
CUCINA_SIMT_ATOMIC T atomicExch(T* address, std::type_identity_t<T> value,
                                std::source_location where = std::source_location::current()) {
  CUCINA_SIMT_OBSERVE(address, where);
  return detail::atomic_update(address, [value](T) { return value; });
}
template <detail::AtomicInteger T>
CUCINA_SIMT_ATOMIC T atomicMax(T* address, std::type_identity_t<T> value,
                               std::source_location where = std::source_location::current()) {
  CUCINA_SIMT_OBSERVE(address, where);
  return detail::atomic_update(address, [value](T old) { return old > value ? old : value; });
}
template <detail::AtomicInteger T>
CUCINA_SIMT_ATOMIC T atomicMin(T* address, std::type_identity_t<T> value,
                               std::source_location where = std::source_location::current()) {
  CUCINA_SIMT_OBSERVE(address, where);
  return detail::atomic_update(address, [value](T old) { return old < value ? old : value; });
}
template <detail::AtomicInteger T>
CUCINA_SIMT_ATOMIC T atomicAnd(T* address, std::type_identity_t<T> value,
                               std::source_location where = std::source_location::current()) {
  CUCINA_SIMT_OBSERVE(address, where);
  return __atomic_fetch_and(address, value, __ATOMIC_RELAXED);
}
template <detail::AtomicInteger T>
CUCINA_SIMT_ATOMIC T atomicOr(T* address, std::type_identity_t<T> value,
                              std::source_location where = std::source_location::current()) {
  CUCINA_SIMT_OBSERVE(address, where);
  return __atomic_fetch_or(address, value, __ATOMIC_RELAXED);
}
template <detail::AtomicInteger T>
CUCINA_SIMT_ATOMIC T atomicXor(T* address, std::type_identity_t<T> value,
                               std::source_location where = std::source_location::current()) {
  CUCINA_SIMT_OBSERVE(address, where);
  return __atomic_fetch_xor(address, value, __ATOMIC_RELAXED);
}
template <detail::AtomicInteger T>
CUCINA_SIMT_ATOMIC T atomicCAS(T* address, std::type_identity_t<T> expected,
                               std::type_identity_t<T> desired,
                               std::source_location where = std::source_location::current()) {
  CUCINA_SIMT_OBSERVE(address, where);
  __atomic_compare_exchange_n(address, &expected, desired, false, __ATOMIC_RELAXED,
                              __ATOMIC_RELAXED);
  return expected;
}
// Adds one, back to 0 beyond `limit`; the ticket of "the last block done" patterns.
CUCINA_SIMT_ATOMIC unsigned atomicInc(
    unsigned* address, unsigned limit,
    std::source_location where = std::source_location::current()) {
  CUCINA_SIMT_OBSERVE(address, where);
  return detail::atomic_update(address,
                               [limit](unsigned old) { return old >= limit ? 0u : old + 1; });
}

}  // namespace cuda
#undef CUCINA_SIMT_ATOMIC
#undef CUCINA_SIMT_OBSERVE
}  // namespace host
}  // namespace cucina::simt
