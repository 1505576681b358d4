// The machine one OS thread runs blocks on: which thread of the block runs, who waits for what, who
// is next.
#pragma once

#include <array>
#include <cstdint>
#include <exception>
#include <memory>
#include <source_location>
#include <string>
#include <vector>

#include "kernels/simt/async_copies.h"
#include "kernels/simt/fiber.h"
#include "kernels/simt/host.h"
#include "kernels/simt/options.h"
#include "kernels/simt/report.h"

namespace cucina::simt {
inline namespace host {
namespace detail {

constexpr int kWarp = 32;
constexpr int kMaxThreads = 1024;
constexpr int kMaxWarps = kMaxThreads / kWarp;
// What a poisoned byte at `address` holds. The pattern reads as NaN as f32 and as f64, and is no
// number a program is likely to write.
constexpr std::uint8_t poison_at(std::uintptr_t address) {
  constexpr std::uint32_t kPattern = 0x7ff4dead;
  return static_cast<std::uint8_t>(kPattern >> 8 * (address % 4));
}
void poison(void* data, std::size_t bytes);

enum class State : std::uint8_t { ready, at_barrier, at_warp_op, returned };

// Lanes that met, or are to meet, at one warp intrinsic.
struct Meeting {
  unsigned mask = 0;   // as the kernel gave it; keys the meeting
  unsigned lanes = 0;  // of the mask, those the block has
  unsigned arrived = 0;
  int first = 0;  // the thread that came first
  WarpOp op = WarpOp::sync;
  std::source_location where;
};

// A warp's lanes are scheduled by position: lane_at turns a position into a lane, so "next" is
// always the lowest bit.
struct Warp {
  unsigned ready = 0;  // by position
  int position = 0;    // of the warp in the block's order
  int meetings = 0;    // open ones, at the front of `meeting`
  std::array<Meeting, kWarp> meeting;
  std::array<std::uint64_t, kWarp> value;
  std::array<int, kWarp> source;
  std::array<std::uint64_t, kWarp> result;
};

// What the race detector wants to hear; null when nobody asked for races.
class Observer {
 public:
  virtual ~Observer() = default;
  virtual void block_begins(std::uint64_t block) = 0;
  virtual void barrier() = 0;
  virtual void warp_sync(int first_thread_of_warp, unsigned lanes) = 0;
  virtual void fence() = 0;
  virtual void atomic(const void* address, std::size_t bytes,
                      const std::source_location& where) = 0;
  // Accesses the running thread makes through an instruction that is emulated.
  virtual void read(const void* address, int bytes, const std::source_location& where) = 0;
  virtual void write(const void* address, int bytes, const std::source_location& where) = 0;
  // A write begins; until write() tells of its end nobody may read what is there.
  virtual void undefine(const void* address, int bytes, const std::source_location& where) = 0;
};

class Executor {
 public:
  Executor();

  // Runs one block; throws what the kernel threw, or a Report.
  void run_block(const Grid& grid, const Options& options, std::uint64_t block_index);

  // Called by the running thread.
  int wait_at_barrier(int predicate, const std::source_location& where);
  std::uint64_t warp_op(WarpOp op, unsigned mask, std::uint64_t value, int source,
                        const std::source_location& where);
  // Waits until all 32 lanes of the warp are here with theirs, and it is performed.
  void warp_collective(Collective& own, const std::source_location& where);
  void begin_copy(AsyncCopy copy);
  void commit_copies();
  void wait_for_copies(unsigned groups_under_way);
  // Reports an address that is no multiple of `bytes`.
  void check_aligned(const char* instruction, const void* address, int bytes,
                     const std::source_location& where);

  // The block is wrong: record() keeps a Report with this sentence, stop() ends the block without
  // returning to the calling thread. Two steps, because what is alive on the thread's stack at
  // stop() is never destroyed.
  void record(const std::string& sentence);
  [[noreturn]] void stop();

  const Grid* grid() const { return grid_; }
  int thread() const { return thread_; }
  int threads() const { return threads_; }
  const Fiber* running() const { return running_; }
  Index3 index(int thread) const;
  Index3 block() const;
  void* dynamic_shared() const { return dynamic_shared_.get(); }
  std::size_t dynamic_shared_bytes() const { return dynamic_shared_bytes_; }

  void set_observer(Observer* observer) { observer_ = observer; }
  Observer* observer() const { return observer_; }

  Statistics counted;  // since last taken by run_grid

 private:
  static void fiber_body();
  void run_threads();
  void begin_block(std::uint64_t block_index);
  void order_lanes(std::uint64_t block_index);
  void prepare_shared_memory();
  void forget_copies();
  int next();
  void set_thread(int thread);
  void suspend();
  void release_barrier();
  void release(Warp& warp, int meeting, int lane_running_on);
  [[noreturn, gnu::cold, gnu::noinline]] void report_meeting(const Meeting& meeting,
                                                             const std::source_location& where);
  [[noreturn, gnu::cold, gnu::noinline]] void report_divergence(const std::source_location& where);
  [[noreturn, gnu::cold, gnu::noinline]] void report_deadlock();
  [[noreturn, gnu::cold, gnu::noinline]] void report_part_warp(const std::source_location& where);
  [[noreturn, gnu::cold, gnu::noinline]] void report_mask(unsigned mask,
                                                          const std::source_location& where);
  std::string explain_meeting(int warp, const Meeting& meeting) const;
  std::string where_waits(int thread) const;

  const Grid* grid_ = nullptr;
  Options options_;
  Observer* observer_ = nullptr;
  int threads_ = 0;
  int warps_ = 0;

  int thread_ = 0;    // the running one
  int pending_ = -1;  // the one a fiber that was at rest is to begin
  int returned_ = 0;
  Fiber* running_ = nullptr;
  unsigned ready_warps_ = 0;  // by position
  Warp* warp_ = nullptr;      // the one driven now

  int at_barrier_ = 0;
  int barrier_count_ = 0;   // predicates that held, of the threads that wait
  int barrier_result_ = 0;  // of the barrier passed last
  int barrier_first_ = 0;
  std::source_location barrier_where_;

  std::array<Warp, kMaxWarps> warps_of_block_;
  std::array<int, kMaxWarps> warp_at_;  // position -> warp
  std::array<int, kWarp> lane_at_;      // position -> lane
  std::array<unsigned, kWarp> bit_of_;  // lane -> bit of its position
  bool lanes_in_order_ = true;
  std::array<State, kMaxThreads> state_;
  std::array<Fiber*, kMaxThreads> fiber_of_;  // of threads that wait; null otherwise
  std::array<cuda::uint3, kMaxThreads> index_of_;
  cuda::dim3 indices_of_{0, 0, 0};  // the block shape index_of_ was made for

  std::vector<AsyncCopies> copies_;  // by thread; empty before the first
  bool copies_begun_ = false;        // by this block

  Fiber os_thread_;
  FiberPool pool_;
  std::exception_ptr error_;

  struct Free {
    void operator()(void* p) const;
  };
  std::unique_ptr<void, Free> dynamic_shared_;
  std::size_t dynamic_shared_bytes_ = 0;
};

// The executor whose kernel runs on this OS thread; null outside kernels.
Executor* running_executor();

}  // namespace detail
}  // namespace host
}  // namespace cucina::simt
