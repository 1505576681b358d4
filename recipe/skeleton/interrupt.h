// SIGINT and SIGTERM, taken as a wish to stop soon.
#pragma once

#include <csignal>

namespace cucina::skeleton {

// While one lives, the first signal is only remembered, for a loop to stop between two steps; the
// second ends the process at once with 128 + its number.
class InterruptGuard {
 public:
  InterruptGuard();
  ~InterruptGuard();
  InterruptGuard(const InterruptGuard&) = delete;
  InterruptGuard& operator=(const InterruptGuard&) = delete;

  // The signal that arrived, or 0.
  static int pending();

 private:
  struct sigaction before_int_ {};
  struct sigaction before_term_ {};
};

}  // namespace cucina::skeleton
