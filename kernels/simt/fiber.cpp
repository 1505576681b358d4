// Stacks with guard pages, the switch between them, AddressSanitizer's annotations.
#include "kernels/simt/fiber.h"

#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <cstring>

#include "core/error.h"

#if defined(__x86_64__) && !defined(CUCINA_SIMT_BOOST_CONTEXT)
#define CUCINA_SIMT_OWN_SWITCH
#else
#include <boost/context/detail/fcontext.hpp>
#endif

#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif

namespace cucina::simt {
inline namespace host {
namespace detail {
namespace {

#ifndef CUCINA_SIMT_OWN_SWITCH
namespace context = boost::context::detail;
#endif

#ifdef __SANITIZE_ADDRESS__
constexpr std::size_t kStackBytes = 512 * 1024;  // red zones around every local
#else
constexpr std::size_t kStackBytes = 128 * 1024;
#endif

std::size_t page_bytes() {
  static const std::size_t bytes = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
  return bytes;
}

// The fiber that switched here last, and what a fiber that was just made is to run.
constinit thread_local Fiber* came_from = nullptr;
constinit thread_local Fiber* entering = nullptr;
constinit thread_local FiberPool::Body entering_body = nullptr;

void arrived([[maybe_unused]] Fiber* now) {
#ifdef __SANITIZE_ADDRESS__
  const void* low = nullptr;
  std::size_t size = 0;
  __sanitizer_finish_switch_fiber(now->sanitizer_stack, &low, &size);
  if (came_from->low ==
      nullptr) {  // the OS thread's own stack, whose bounds only the sanitizer knows
    came_from->low = const_cast<char*>(static_cast<const char*>(low));
    came_from->size = size;
  }
#endif
}

[[noreturn]] void entry() {
  arrived(entering);
  entering_body();
  __builtin_unreachable();
}

#ifdef CUCINA_SIMT_OWN_SWITCH

// Three times as fast as Boost's, which saves floating-point modes no kernel changes and returns by
// a jump, so that the processor mispredicts every return after it. noipa: callers must assume that
// all caller-saved registers are lost.
__attribute__((noipa)) void jump(Fiber* from, Fiber* to) {
  void** save = &from->context;
  void* go_on = to->context;
  asm volatile(
      "leaq -128(%%rsp), %%rsp\n\t"  // the red zone may be in use
      "pushq %%rbp\n\t"
      "pushq %%rbx\n\t"
      "leaq 1f(%%rip), %%rax\n\t"
      "pushq %%rax\n\t"
      "movq %%rsp, (%0)\n\t"
      "movq %1, %%rsp\n\t"
      "popq %%rax\n\t"
      "jmpq *%%rax\n"
      "1:\n\t"
      "popq %%rbx\n\t"
      "popq %%rbp\n\t"
      "leaq 128(%%rsp), %%rsp\n\t"
      : "+D"(save), "+S"(go_on)
      :
      : "rax", "rcx", "rdx", "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15", "memory", "cc");
}

void* new_context(char* top, std::size_t) {
  auto** slot =
      reinterpret_cast<void**>(reinterpret_cast<std::uintptr_t>(top) & ~std::uintptr_t{15});
  *--slot = nullptr;  // where entry() would return to; ends backtraces
  *--slot = nullptr;
  *--slot = nullptr;
  *--slot = reinterpret_cast<void*>(&entry);
  return slot;
}

#else

void boost_entry(context::transfer_t transfer) {
  static_cast<Fiber*>(transfer.data)->context = transfer.fctx;
  entry();
}

void jump(Fiber* from, Fiber* to) {
  const context::transfer_t transfer = context::jump_fcontext(to->context, from);
  static_cast<Fiber*>(transfer.data)->context = transfer.fctx;
}

void* new_context(char* top, std::size_t size) {
  return context::make_fcontext(top, size, boost_entry);
}

#endif

}  // namespace

void switch_fiber(Fiber* from, Fiber* to) {
  if (!to->started) {
    to->started = true;
    entering = to;
  }
  came_from = from;
#ifdef __SANITIZE_ADDRESS__
  __sanitizer_start_switch_fiber(&from->sanitizer_stack, to->low, to->size);
#endif
  jump(from, to);
  arrived(from);
}

void leave_fiber(Fiber* from, Fiber* to) {
  came_from = from;
#ifdef __SANITIZE_ADDRESS__
  __sanitizer_start_switch_fiber(nullptr, to->low, to->size);
#endif
  jump(from, to);
  __builtin_unreachable();
}

void FiberPool::add() {
  auto fiber = std::make_unique<Fiber>();
  const std::size_t guard = page_bytes();
  void* memory = mmap(nullptr, guard + kStackBytes, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) {
    fail(ExitCode::no_resources, "simt: no memory for the stack of thread {} of a block: {}",
         fibers_.size(), std::strerror(errno));
  }
  // The number of guarded regions is limited per process; past the limit a stack does without.
  (void)mprotect(memory, guard, PROT_NONE);
  // Stacks a page multiple apart would keep their hot lines in the same few cache sets.
  const std::size_t colour = fibers_.size() % 32 * 192;
  fiber->low = static_cast<char*>(memory) + guard;
  fiber->size = kStackBytes - colour;
  entering_body = body_;
  prepare(fiber.get());
  idle_.push_back(fiber.get());
  fibers_.push_back(std::move(fiber));
}

void FiberPool::prepare(Fiber* fiber) {
#ifdef __SANITIZE_ADDRESS__
  ASAN_UNPOISON_MEMORY_REGION(fiber->low, fiber->size);
#endif
  fiber->sanitizer_stack = nullptr;
  fiber->started = false;
  fiber->context = new_context(fiber->low + fiber->size, fiber->size);
}

void FiberPool::reset() {
  idle_.clear();
  for (auto fiber = fibers_.rbegin(); fiber != fibers_.rend(); ++fiber) {
    prepare(fiber->get());
    idle_.push_back(fiber->get());
  }
}

FiberPool::~FiberPool() {
  for (const auto& fiber : fibers_) {
#ifdef __SANITIZE_ADDRESS__
    ASAN_UNPOISON_MEMORY_REGION(fiber->low, kStackBytes);
#endif
    munmap(fiber->low - page_bytes(), page_bytes() + kStackBytes);
  }
}

}  // namespace detail
}  // namespace host
}  // namespace cucina::simt
