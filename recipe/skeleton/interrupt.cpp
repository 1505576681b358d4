// The signal handlers.
#include "recipe/skeleton/interrupt.h"

#include <unistd.h>

namespace cucina::skeleton {
namespace {

volatile std::sig_atomic_t received = 0;

// Only what is allowed in a handler: reading and writing a flag, and _exit.
void remember(int signal) {
  if (received != 0) ::_exit(128 + signal);
  received = signal;
}

}  // namespace

InterruptGuard::InterruptGuard() {
  received = 0;
  struct sigaction action {};
  action.sa_handler = &remember;
  action.sa_flags = SA_RESTART;
  ::sigaction(SIGINT, &action, &before_int_);
  ::sigaction(SIGTERM, &action, &before_term_);
}

InterruptGuard::~InterruptGuard() {
  ::sigaction(SIGINT, &before_int_, nullptr);
  ::sigaction(SIGTERM, &before_term_, nullptr);
}

int InterruptGuard::pending() { return received; }

}  // namespace cucina::skeleton
