// What kernels compiled with -fsanitize=thread call at every memory access: our race detector, in
// place of libtsan.
//
// Only checked programs link this file, and they do not link libtsan. Neither this file nor the
// rest of simt may be compiled with -fsanitize=thread.
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "kernels/simt/race_detector.h"
#include "kernels/simt/races.h"

#ifdef __SANITIZE_THREAD__
#error "this file defines the hooks and must be compiled without -fsanitize=thread"
#endif

namespace cucina::simt {
inline namespace host {
namespace detail {
namespace {

[[maybe_unused]] const bool registered = [] {
  set_race_detector([](Executor& executor, const Grid& grid) -> std::unique_ptr<Observer> {
    return std::make_unique<RaceDetector>(executor, grid);
  });
  return true;
}();

inline void observe(AccessKind kind, const void* address, std::size_t bytes, void* place) {
  RaceDetector* detector = running_detector();
  if (detector == nullptr || running_executor() == nullptr) return;  // host code
  detector->access(kind, reinterpret_cast<std::uintptr_t>(address), bytes,
                   reinterpret_cast<std::uintptr_t>(place));
}

}  // namespace
}  // namespace detail
}  // namespace host
}  // namespace cucina::simt

namespace simt_host = cucina::simt::host;
using simt_host::detail::AccessKind;
using simt_host::detail::observe;

extern "C" {

void __tsan_init() {}
void __tsan_func_entry(void*) {}
void __tsan_func_exit() {}
void __tsan_vptr_update(void**, void*) {}
void __tsan_vptr_read(void**) {}

#define CUCINA_HOOKS(bytes)                                            \
  void __tsan_read##bytes(void* p) {                                   \
    observe(AccessKind::read, p, bytes, __builtin_return_address(0));  \
  }                                                                    \
  void __tsan_write##bytes(void* p) {                                  \
    observe(AccessKind::write, p, bytes, __builtin_return_address(0)); \
  }                                                                    \
  void __tsan_unaligned_read##bytes(void* p) {                         \
    observe(AccessKind::read, p, bytes, __builtin_return_address(0));  \
  }                                                                    \
  void __tsan_unaligned_write##bytes(void* p) {                        \
    observe(AccessKind::write, p, bytes, __builtin_return_address(0)); \
  }                                                                    \
  void __tsan_volatile_read##bytes(void* p) {                          \
    observe(AccessKind::read, p, bytes, __builtin_return_address(0));  \
  }                                                                    \
  void __tsan_volatile_write##bytes(void* p) {                         \
    observe(AccessKind::write, p, bytes, __builtin_return_address(0)); \
  }
CUCINA_HOOKS(1)
CUCINA_HOOKS(2)
CUCINA_HOOKS(4)
CUCINA_HOOKS(8)
CUCINA_HOOKS(16)
#undef CUCINA_HOOKS

void __tsan_read_range(void* p, std::size_t bytes) {
  observe(AccessKind::read, p, bytes, __builtin_return_address(0));
}
void __tsan_write_range(void* p, std::size_t bytes) {
  observe(AccessKind::write, p, bytes, __builtin_return_address(0));
}
void* __tsan_memcpy(void* to, const void* from, std::size_t bytes) {
  observe(AccessKind::read, from, bytes, __builtin_return_address(0));
  observe(AccessKind::write, to, bytes, __builtin_return_address(0));
  return std::memcpy(to, from, bytes);
}
void* __tsan_memmove(void* to, const void* from, std::size_t bytes) {
  observe(AccessKind::read, from, bytes, __builtin_return_address(0));
  observe(AccessKind::write, to, bytes, __builtin_return_address(0));
  return std::memmove(to, from, bytes);
}
void* __tsan_memset(void* to, int value, std::size_t bytes) {
  observe(AccessKind::write, to, bytes, __builtin_return_address(0));
  return std::memset(to, value, bytes);
}

// Atomics of host code, std::atomic and the like; all are done in the strongest order. Those of
// kernels go through atomics.h, which is not instrumented.
#define CUCINA_ATOMICS(bits, T)                                                                    \
  T __tsan_atomic##bits##_load(const volatile T* p, int) {                                         \
    return __atomic_load_n(p, __ATOMIC_SEQ_CST);                                                   \
  }                                                                                                \
  void __tsan_atomic##bits##_store(volatile T* p, T v, int) {                                      \
    __atomic_store_n(p, v, __ATOMIC_SEQ_CST);                                                      \
  }                                                                                                \
  T __tsan_atomic##bits##_exchange(volatile T* p, T v, int) {                                      \
    return __atomic_exchange_n(p, v, __ATOMIC_SEQ_CST);                                            \
  }                                                                                                \
  T __tsan_atomic##bits##_fetch_add(volatile T* p, T v, int) {                                     \
    return __atomic_fetch_add(p, v, __ATOMIC_SEQ_CST);                                             \
  }                                                                                                \
  T __tsan_atomic##bits##_fetch_sub(volatile T* p, T v, int) {                                     \
    return __atomic_fetch_sub(p, v, __ATOMIC_SEQ_CST);                                             \
  }                                                                                                \
  T __tsan_atomic##bits##_fetch_and(volatile T* p, T v, int) {                                     \
    return __atomic_fetch_and(p, v, __ATOMIC_SEQ_CST);                                             \
  }                                                                                                \
  T __tsan_atomic##bits##_fetch_or(volatile T* p, T v, int) {                                      \
    return __atomic_fetch_or(p, v, __ATOMIC_SEQ_CST);                                              \
  }                                                                                                \
  T __tsan_atomic##bits##_fetch_xor(volatile T* p, T v, int) {                                     \
    return __atomic_fetch_xor(p, v, __ATOMIC_SEQ_CST);                                             \
  }                                                                                                \
  T __tsan_atomic##bits##_fetch_nand(volatile T* p, T v, int) {                                    \
    return __atomic_fetch_nand(p, v, __ATOMIC_SEQ_CST);                                            \
  }                                                                                                \
  int __tsan_atomic##bits##_compare_exchange_strong(volatile T* p, T* expected, T v, int, int) {   \
    return __atomic_compare_exchange_n(p, expected, v, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST); \
  }                                                                                                \
  int __tsan_atomic##bits##_compare_exchange_weak(volatile T* p, T* expected, T v, int, int) {     \
    return __atomic_compare_exchange_n(p, expected, v, true, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);  \
  }                                                                                                \
  T __tsan_atomic##bits##_compare_exchange_val(volatile T* p, T expected, T v, int, int) {         \
    __atomic_compare_exchange_n(p, &expected, v, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);       \
    return expected;                                                                               \
  }
CUCINA_ATOMICS(8, std::uint8_t)
CUCINA_ATOMICS(16, std::uint16_t)
CUCINA_ATOMICS(32, std::uint32_t)
CUCINA_ATOMICS(64, std::uint64_t)
#undef CUCINA_ATOMICS

void __tsan_atomic_thread_fence(int) { __atomic_thread_fence(__ATOMIC_SEQ_CST); }
void __tsan_atomic_signal_fence(int) {}

}  // extern "C"
