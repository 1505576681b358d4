// The reports about threads that wait (who, where, for whom), and the context of the sanitizers'
// own reports.
#include <bit>
#include <cstdio>

#include "kernels/simt/executor.h"

namespace cucina::simt {
inline namespace host {
namespace detail {
namespace {

void print_context() {
  const Executor* executor = running_executor();
  if (executor == nullptr) return;
  const Index3 block = executor->block();
  const Index3 thread = executor->index(executor->thread());
  std::fprintf(stderr, "in kernel %s, block (%u,%u,%u), thread (%u,%u,%u)\n",
               executor->grid()->name, block.x, block.y, block.z, thread.x, thread.y, thread.z);
}

}  // namespace

std::string Executor::where_waits(int thread) const {
  if (state_[thread] == State::returned) return "has returned";
  if (state_[thread] == State::at_barrier) {
    return fmt::format("waits at the barrier at {}", text(barrier_where_));
  }
  const Warp& warp = warps_of_block_[thread / kWarp];
  for (int m = 0; m < warp.meetings; ++m) {
    const Meeting& meeting = warp.meeting[m];
    if ((meeting.arrived >> thread % kWarp & 1) == 0) continue;
    return fmt::format("waits in a warp intrinsic at {} with mask {:#010x}", text(meeting.where),
                       meeting.mask);
  }
  return "can run";
}

std::string Executor::explain_meeting(int warp, const Meeting& meeting) const {
  const int missing = warp * kWarp + std::countr_zero(meeting.lanes & ~meeting.arrived);
  return fmt::format(
      "thread {} waits in a warp intrinsic at {}, whose mask {:#010x} names lane {}, but that "
      "lane's "
      "thread {} {}",
      text(index(meeting.first)), text(meeting.where), meeting.mask, missing % kWarp,
      text(index(missing)), where_waits(missing));
}

void Executor::report_divergence(const std::source_location& where) {
  record(fmt::format("divergent barrier: thread {} waits at {} but thread {} at {}",
                     text(index(barrier_first_)), text(barrier_where_), text(index(thread_)),
                     text(where)));
  stop();
}

void Executor::report_mask(unsigned mask, const std::source_location& where) {
  record(fmt::format(
      "thread {} (lane {}) calls a warp intrinsic at {} with mask {:#010x}, which does not name it",
      text(index(thread_)), thread_ % kWarp, text(where), mask));
  stop();
}

void Executor::report_part_warp(const std::source_location& where) {
  const int lanes = threads_ - thread_ / kWarp * kWarp;
  record(fmt::format(
      "thread {} calls an instruction of the whole warp at {}, but its warp has {} lanes of {}",
      text(index(thread_)), text(where), lanes, kWarp));
  stop();
}

void Executor::check_aligned(const char* instruction, const void* address, int bytes,
                             const std::source_location& where) {
  if (reinterpret_cast<std::uintptr_t>(address) % static_cast<unsigned>(bytes) == 0) return;
  record(fmt::format("thread {} gives {} at {} the address {}, which is no multiple of {} bytes",
                     text(index(thread_)), instruction, text(where), address, bytes));
  stop();
}

void Executor::report_meeting(const Meeting& meeting, const std::source_location& where) {
  record(
      fmt::format("divergent warp: thread {} waits in a warp intrinsic at {} with mask {:#010x} "
                  "but thread {}, which the mask "
                  "names, calls another at {}",
                  text(index(meeting.first)), text(meeting.where), meeting.mask,
                  text(index(thread_)), text(where)));
  stop();
}

void Executor::report_deadlock() {
  // A lane that waits for one that will never come explains a barrier that is never full, not the
  // other way round.
  for (int w = 0; w < warps_; ++w) {
    const Warp& warp = warps_of_block_[w];
    if (warp.meetings == 0) continue;
    record("lane never arrives: " + explain_meeting(w, warp.meeting[0]));
    stop();
  }
  int returned = 0;
  while (state_[returned] != State::returned) ++returned;
  record(
      fmt::format("unmatched barrier: thread {} waits at the barrier at {} but thread {} has "
                  "returned ({} of {} "
                  "threads wait there)",
                  text(index(barrier_first_)), text(barrier_where_), text(index(returned)),
                  at_barrier_, threads_));
  stop();
}

}  // namespace detail
}  // namespace host
}  // namespace cucina::simt

// The sanitizers call these when they find something; without a sanitizer nobody does.
extern "C" {
void __asan_on_error() { cucina::simt::host::detail::print_context(); }
void __ubsan_on_report() { cucina::simt::host::detail::print_context(); }
}
