// Spreads a grid's blocks over OS threads and carries the first error to the caller.
#include <omp.h>

#include <atomic>
#include <chrono>
#include <limits>
#include <mutex>

#include "kernels/simt/executor.h"
#include "kernels/simt/map.h"
#include "kernels/simt/order.h"
#include "kernels/simt/races.h"

namespace cucina::simt {
namespace {

struct Totals {
  std::atomic<std::uint64_t> launches{0}, blocks{0}, threads{0}, switches{0}, stacks{0};
};
Totals totals;

void take_counted(detail::Executor& executor) {
  const Statistics counted = std::exchange(executor.counted, {});
  totals.blocks += counted.blocks;
  totals.threads += counted.threads;
  totals.switches += counted.switches;
  totals.stacks += counted.stacks;
}

detail::Executor& executor_of_this_thread() {
  static thread_local std::unique_ptr<detail::Executor> executor;
  if (!executor) executor = std::make_unique<detail::Executor>();
  return *executor;
}

}  // namespace

Statistics statistics() {
  return {totals.launches, totals.blocks, totals.threads, totals.switches, totals.stacks};
}

inline namespace host {
namespace detail {

void run_grid(const Grid& grid) {
  const Options options = simt::options();
  const auto blocks =
      static_cast<std::int64_t>(std::uint64_t{grid.grid.x} * grid.grid.y * grid.grid.z);
  const Order order(options.schedule, static_cast<std::uint64_t>(blocks), options.seed);
  ++totals.launches;

  // The lowest block that failed wins, whatever the number of OS threads: blocks below it still
  // run.
  std::atomic<std::int64_t> failed{std::numeric_limits<std::int64_t>::max()};
  std::exception_ptr error;
  std::mutex mutex;
  const auto run = [&](std::int64_t i) {
    const auto block = static_cast<std::int64_t>(order.at(static_cast<std::uint64_t>(i)));
    if (block > failed.load(std::memory_order_relaxed)) return;
    try {
      executor_of_this_thread().run_block(grid, options, static_cast<std::uint64_t>(block));
    } catch (...) {
      const std::lock_guard lock(mutex);
      if (block < failed) {
        failed = block;
        error = std::current_exception();
      }
    }
  };

  const int team = omp_get_max_threads();
  const bool alone = team == 1 || options.detect_races;
  std::int64_t done = 0;
  {
    const RaceDetection races(executor_of_this_thread(), grid, options);
    // A small grid is finished before other OS threads would be awake.
    using Clock = std::chrono::steady_clock;
    constexpr std::chrono::microseconds kWorthWaking{30};
    const Clock::time_point deadline = Clock::now() + kWorthWaking;
    while (done < blocks && (alone || Clock::now() < deadline)) run(done++);
    take_counted(executor_of_this_thread());
  }
  if (done < blocks) {
    const std::int64_t shares = std::int64_t{team} * 16;
    const std::int64_t chunk = blocks < shares ? 1 : blocks / shares;
#pragma omp parallel
    {
#pragma omp for schedule(dynamic, chunk) nowait
      for (std::int64_t i = done; i < blocks; ++i) run(i);
      take_counted(executor_of_this_thread());
    }
  }
  if (error) std::rethrow_exception(error);
}

int wait_at_barrier(int predicate, const std::source_location& where) {
  return running_executor()->wait_at_barrier(predicate, where);
}

int block_threads() { return running_executor()->threads(); }

void* dynamic_shared_memory() { return running_executor()->dynamic_shared(); }

int lane() { return running_executor()->thread() % warpSize; }

std::uint64_t warp_op(WarpOp op, unsigned mask, std::uint64_t value, int source,
                      const std::source_location& where) {
  return running_executor()->warp_op(op, mask, value, source, where);
}

void fence() {
  std::atomic_thread_fence(std::memory_order_seq_cst);
  if (auto* observer = running_executor()->observer(); observer != nullptr) observer->fence();
}

void observe_atomic(const void* address, std::size_t bytes, const std::source_location& where) {
  const Executor* executor = running_executor();
  if (executor != nullptr && executor->observer() != nullptr)
    executor->observer()->atomic(address, bytes, where);
}

bool threads_wanted() {
  const Options options = simt::options();
  return options.schedule != Schedule::forward || options.detect_races;
}

}  // namespace detail
}  // namespace host
}  // namespace cucina::simt
