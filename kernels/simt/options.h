// How the host executor runs kernels: in what order, and with which checks.
#pragma once

#include <cstdint>

namespace cucina::simt {

// The order in which blocks, warps and lanes run. One warp is driven as far as it will go before
// another runs, so a missing barrier shows in at least one of the orders.
enum class Schedule : std::uint8_t { forward, reverse, shuffled };

struct Options {
  Schedule schedule = Schedule::forward;
  std::uint64_t seed = 0;      // of the shuffled order
  bool poison_shared = false;  // fill shared memory with NaN at the start of every block
  // Report two threads touching one word without order between them, one writing, and reads of
  // shared memory nobody wrote. Needs kernels compiled for it (checked_runtime.cpp); blocks then
  // run on one OS thread.
  bool detect_races = false;
};

// What launches use now. The default honours the environment:
// CUCINA_SIMT_SCHEDULE=forward|reverse|shuffled and CUCINA_SIMT_SEED.
//   throws   Error when the environment names no schedule
Options options();

// Process-wide options for a scope; not to be created while another thread launches.
class ScopedOptions {
 public:
  explicit ScopedOptions(const Options& options);
  ~ScopedOptions();
  ScopedOptions(const ScopedOptions&) = delete;
  ScopedOptions& operator=(const ScopedOptions&) = delete;

 private:
  Options before_;
};

// What the executor has done since the process began.
struct Statistics {
  std::uint64_t launches = 0;
  std::uint64_t blocks = 0;
  std::uint64_t threads = 0;
  std::uint64_t switches =
      0;  // from one waiting thread's stack to another: 0 for kernels that never wait
  std::uint64_t stacks = 0;  // made so far, over all OS threads
};
Statistics statistics();

}  // namespace cucina::simt
