// Meetings of lanes at shuffles, votes, matches, reductions, __syncwarp and instructions of the
// whole warp.
#include <algorithm>
#include <bit>
#include <limits>

#include "kernels/simt/executor.h"

namespace cucina::simt {
inline namespace host {
namespace detail {
namespace {

template <typename T, typename Op>
std::uint64_t fold(const Warp& warp, unsigned lanes, Op op) {
  T total = static_cast<T>(warp.value[std::countr_zero(lanes)]);
  for (unsigned rest = lanes & (lanes - 1); rest != 0; rest &= rest - 1) {
    total = op(total, static_cast<T>(warp.value[std::countr_zero(rest)]));
  }
  return static_cast<std::uint32_t>(total);
}

std::uint64_t reduce(WarpOp op, const Warp& warp, unsigned lanes) {
  using U = std::uint32_t;
  using I = std::int32_t;
  switch (op) {
    case WarpOp::reduce_add:
      return fold<U>(warp, lanes, [](U a, U b) { return a + b; });
    case WarpOp::reduce_min_signed:
      return fold<I>(warp, lanes, [](I a, I b) { return std::min(a, b); });
    case WarpOp::reduce_min_unsigned:
      return fold<U>(warp, lanes, [](U a, U b) { return std::min(a, b); });
    case WarpOp::reduce_max_signed:
      return fold<I>(warp, lanes, [](I a, I b) { return std::max(a, b); });
    case WarpOp::reduce_max_unsigned:
      return fold<U>(warp, lanes, [](U a, U b) { return std::max(a, b); });
    case WarpOp::reduce_and:
      return fold<U>(warp, lanes, [](U a, U b) { return a & b; });
    case WarpOp::reduce_or:
      return fold<U>(warp, lanes, [](U a, U b) { return a | b; });
    default:
      return fold<U>(warp, lanes, [](U a, U b) { return a ^ b; });
  }
}

unsigned lanes_equal_to(const Warp& warp, unsigned lanes, std::uint64_t value) {
  unsigned equal = 0;
  for (unsigned rest = lanes; rest != 0; rest &= rest - 1) {
    const int lane = std::countr_zero(rest);
    if (warp.value[lane] == value) equal |= 1u << lane;
  }
  return equal;
}

// Every lane's result, computed by the lane that came last: the others may read theirs whenever
// they run again.
void compute_results(Warp& warp, const Meeting& meeting) {
  constexpr std::uint64_t kUndefined = std::numeric_limits<std::uint64_t>::max();
  const unsigned lanes = meeting.lanes;
  std::uint64_t same_for_all = 0;
  switch (meeting.op) {
    case WarpOp::sync:
      return;
    case WarpOp::collective: {
      Collective* all[kWarp];
      for (int lane = 0; lane < kWarp; ++lane) {
        all[lane] = reinterpret_cast<Collective*>(warp.value[lane]);
      }
      all[0]->perform(all);
      return;
    }
    case WarpOp::shuffle:
      for (unsigned rest = lanes; rest != 0; rest &= rest - 1) {
        const int lane = std::countr_zero(rest);
        const int source = warp.source[lane];
        const bool defined = source >= 0 && source < kWarp && (lanes >> source & 1) != 0;
        warp.result[lane] = defined ? warp.value[source] : kUndefined;
      }
      return;
    case WarpOp::match_any:
      for (unsigned rest = lanes; rest != 0; rest &= rest - 1) {
        const int lane = std::countr_zero(rest);
        warp.result[lane] = lanes_equal_to(warp, lanes, warp.value[lane]);
      }
      return;
    case WarpOp::match_all:
      same_for_all =
          lanes_equal_to(warp, lanes, warp.value[std::countr_zero(lanes)]) == lanes ? lanes : 0;
      break;
    case WarpOp::ballot:
      same_for_all = lanes_equal_to(warp, lanes, 1);
      break;
    default:
      same_for_all = reduce(meeting.op, warp, lanes);
  }
  for (unsigned rest = lanes; rest != 0; rest &= rest - 1)
    warp.result[std::countr_zero(rest)] = same_for_all;
}

}  // namespace

std::uint64_t Executor::warp_op(WarpOp op, unsigned mask, std::uint64_t value, int source,
                                const std::source_location& where) {
  const int w = thread_ / kWarp;
  const int lane = thread_ % kWarp;
  Warp& warp = warps_of_block_[w];
  const unsigned bit = 1u << lane;
  if ((mask & bit) == 0) {
    report_mask(mask, where);
  }
  int m = 0;
  while (m < warp.meetings && warp.meeting[m].mask != mask) ++m;
  Meeting& meeting = warp.meeting[m];
  if (m == warp.meetings) {
    const int present = std::min(threads_ - w * kWarp, kWarp);
    const unsigned lanes = present == kWarp ? mask : mask & ((1u << present) - 1);
    meeting = {mask, lanes, 0, thread_, op, where};
    ++warp.meetings;
  } else if (op != meeting.op || (op != WarpOp::sync && !same_line(where, meeting.where))) {
    report_meeting(meeting, where);
  }
  warp.value[lane] = value;
  warp.source[lane] = source;
  meeting.arrived |= bit;
  if (meeting.arrived == meeting.lanes) {
    release(warp, m, lane);
  } else {
    state_[thread_] = State::at_warp_op;
    suspend();
  }
  return warp.result[lane];
}

void Executor::warp_collective(Collective& own, const std::source_location& where) {
  if (threads_ - thread_ / kWarp * kWarp < kWarp) report_part_warp(where);
  warp_op(WarpOp::collective, 0xffffffffu, reinterpret_cast<std::uintptr_t>(&own), 0, where);
}

// All lanes are here: the one that came last runs on, the others are ready.
void Executor::release(Warp& warp, int m, int lane_running_on) {
  const Meeting& meeting = warp.meeting[m];
  compute_results(warp, meeting);
  const int first_thread = thread_ - lane_running_on;
  if (observer_ != nullptr && meeting.op == WarpOp::sync)
    observer_->warp_sync(first_thread, meeting.lanes);
  const unsigned others = meeting.lanes & ~(1u << lane_running_on);
  unsigned ready = others;
  if (!lanes_in_order_) {
    ready = 0;
    for (unsigned rest = others; rest != 0; rest &= rest - 1)
      ready |= bit_of_[std::countr_zero(rest)];
  }
  for (unsigned rest = others; rest != 0; rest &= rest - 1) {
    state_[first_thread + std::countr_zero(rest)] = State::ready;
  }
  warp.ready |= ready;
  if (warp.ready != 0) ready_warps_ |= 1u << warp.position;
  --warp.meetings;
  if (m != warp.meetings) warp.meeting[m] = warp.meeting[warp.meetings];
}

}  // namespace detail
}  // namespace host
}  // namespace cucina::simt
