// Stacks to run a block's threads on, and the switch from one to another.
#pragma once

#include <cstddef>
#include <memory>
#include <vector>

namespace cucina::simt {
inline namespace host {
namespace detail {

// A stack of its own with what is needed to go on from where it stopped. The OS thread's own stack
// is one, too.
struct Fiber {
  void* context = nullptr;  // where it stopped: a stack pointer
  char* low = nullptr;      // lowest usable address; below it a guard page
  std::size_t size = 0;
  void* sanitizer_stack = nullptr;  // AddressSanitizer's companion of the stack
  bool started = false;
};

// Stops `from`, to be continued when somebody switches to it, and runs `to`.
void switch_fiber(Fiber* from, Fiber* to);
// The same, and `from` is never continued.
[[noreturn]] void leave_fiber(Fiber* from, Fiber* to);

// The fibers of one OS thread: made when first needed, used again for every block.
class FiberPool {
 public:
  using Body = void (*)();  // runs on a new fiber; never returns

  explicit FiberPool(Body body) : body_(body) {}
  ~FiberPool();
  FiberPool(const FiberPool&) = delete;
  FiberPool& operator=(const FiberPool&) = delete;

  // A fiber at rest, or a new one.
  Fiber* take() {
    if (idle_.empty()) add();
    Fiber* fiber = idle_.back();
    idle_.pop_back();
    return fiber;
  }
  void give_back(Fiber* fiber) { idle_.push_back(fiber); }

  // Forgets what every fiber was doing, after a block that was broken off.
  void reset();
  std::size_t size() const { return fibers_.size(); }

 private:
  void add();
  void prepare(Fiber* fiber);

  Body body_;
  std::vector<std::unique_ptr<Fiber>> fibers_;
  std::vector<Fiber*> idle_;
};

}  // namespace detail
}  // namespace host
}  // namespace cucina::simt
