// Runs the threads of a block on fibers, one warp at a time for as long as it can go on.
#include "kernels/simt/executor.h"

#include <bit>
#include <cstring>
#include <new>

#include "kernels/simt/order.h"
#include "kernels/simt/shared_variables.h"

namespace cucina::simt {
inline namespace host {
namespace cuda {

constinit thread_local uint3 threadIdx{0, 0, 0};
constinit thread_local uint3 blockIdx{0, 0, 0};
constinit thread_local dim3 blockDim{1, 1, 1};
constinit thread_local dim3 gridDim{1, 1, 1};

}  // namespace cuda

namespace detail {
namespace {

constinit thread_local Executor* executor_here = nullptr;

constexpr std::align_val_t kSharedAlignment{128};

unsigned low_bits(int count) { return count >= 32 ? ~0u : (1u << count) - 1; }

}  // namespace

Executor* running_executor() { return executor_here; }

void Executor::Free::operator()(void* p) const { ::operator delete(p, kSharedAlignment); }

Executor::Executor() : pool_(&Executor::fiber_body) {
  state_.fill(State::returned);
  fiber_of_.fill(nullptr);
}

Index3 Executor::index(int thread) const {
  const cuda::uint3& i = index_of_[thread];
  return {i.x, i.y, i.z};
}

Index3 Executor::block() const { return {cuda::blockIdx.x, cuda::blockIdx.y, cuda::blockIdx.z}; }

void Executor::run_block(const Grid& grid, const Options& options, std::uint64_t block_index) {
  grid_ = &grid;
  options_ = options;
  begin_block(block_index);
  executor_here = this;
  pending_ = next();
  const std::size_t stacks_before = pool_.size();
  running_ = pool_.take();
  switch_fiber(&os_thread_, running_);
  executor_here = nullptr;
  ++counted.blocks;
  counted.stacks += pool_.size() - stacks_before;
  counted.threads += threads_;
  if (error_) {
    pool_.reset();
    fiber_of_.fill(nullptr);
    std::rethrow_exception(std::exchange(error_, nullptr));
  }
}

void Executor::begin_block(std::uint64_t block_index) {
  const cuda::dim3& block = grid_->block;
  const cuda::dim3& grid = grid_->grid;
  threads_ = static_cast<int>(block.x * block.y * block.z);
  warps_ = (threads_ + kWarp - 1) / kWarp;
  if (block.x != indices_of_.x || block.y != indices_of_.y || block.z != indices_of_.z) {
    int thread = 0;
    for (unsigned z = 0; z < block.z; ++z) {
      for (unsigned y = 0; y < block.y; ++y) {
        for (unsigned x = 0; x < block.x; ++x) index_of_[thread++] = {x, y, z};
      }
    }
    indices_of_ = block;
  }
  cuda::blockDim = block;
  cuda::gridDim = grid;
  const std::uint64_t row = block_index / grid.x;
  cuda::blockIdx = {static_cast<unsigned>(block_index % grid.x),
                    static_cast<unsigned>(row % grid.y), static_cast<unsigned>(row / grid.y)};

  order_lanes(block_index);
  for (int w = 0; w < warps_; ++w) {
    Warp& warp = warps_of_block_[w];
    warp.meetings = 0;
    const int lanes = threads_ - w * kWarp;
    warp.ready = low_bits(lanes);
    if (!lanes_in_order_ && lanes < kWarp) {
      warp.ready = 0;
      for (int lane = 0; lane < lanes; ++lane) warp.ready |= bit_of_[lane];
    }
  }
  ready_warps_ = low_bits(warps_);
  warp_ = &warps_of_block_[warp_at_[0]];
  std::memset(state_.data(), static_cast<int>(State::ready), threads_);
  returned_ = 0;
  at_barrier_ = 0;
  barrier_count_ = 0;
  if (copies_begun_) forget_copies();
  prepare_shared_memory();
  if (observer_ != nullptr) observer_->block_begins(block_index);
}

void Executor::order_lanes(std::uint64_t block_index) {
  const Order lanes(options_.schedule, kWarp, options_.seed * 0x9e3779b97f4a7c15u + block_index);
  const Order warps(options_.schedule, warps_,
                    options_.seed * 0xd1342543de82ef95u + block_index + 1);
  lanes_in_order_ = options_.schedule == Schedule::forward;
  for (int position = 0; position < kWarp; ++position) {
    const int lane = static_cast<int>(lanes.at(position));
    lane_at_[position] = lane;
    bit_of_[lane] = 1u << position;
  }
  for (int position = 0; position < warps_; ++position) {
    const int warp = static_cast<int>(warps.at(position));
    warp_at_[position] = warp;
    warps_of_block_[warp].position = position;
  }
}

void Executor::prepare_shared_memory() {
  if (grid_->shared_bytes != dynamic_shared_bytes_) {
    // Exactly as large as asked for, so that AddressSanitizer sees an access beyond it.
    dynamic_shared_.reset();
    dynamic_shared_bytes_ = grid_->shared_bytes;
    if (dynamic_shared_bytes_ > 0)
      dynamic_shared_.reset(::operator new(dynamic_shared_bytes_, kSharedAlignment));
  }
  if (!options_.poison_shared) return;
  poison(dynamic_shared_.get(), dynamic_shared_bytes_);
  for (const SharedVariable& variable : shared_variables_here()) {
    poison(variable.address, variable.bytes);
  }
}

void poison(void* data, std::size_t bytes) {
  auto* const to = static_cast<std::uint8_t*>(data);
  const auto address = reinterpret_cast<std::uintptr_t>(data);
  for (std::size_t i = 0; i < bytes; ++i) to[i] = poison_at(address + i);
}

// The thread to run now, or -1 when none can.
int Executor::next() {
  if (warp_->ready == 0) {
    if (ready_warps_ == 0) return -1;
    warp_ = &warps_of_block_[warp_at_[std::countr_zero(ready_warps_)]];
  }
  const int position = std::countr_zero(warp_->ready);
  warp_->ready &= warp_->ready - 1;
  if (warp_->ready == 0) ready_warps_ &= ~(1u << warp_->position);
  return static_cast<int>(warp_ - warps_of_block_.data()) * kWarp + lane_at_[position];
}

void Executor::set_thread(int thread) {
  thread_ = thread;
  cuda::threadIdx = index_of_[thread];
}

void Executor::fiber_body() {
  for (;;) executor_here->run_threads();
}

// Runs the pending thread and then fresh ones, until it is a waiting one's turn; then this fiber
// rests.
void Executor::run_threads() {
  Fiber* const self = running_;
  int thread = std::exchange(pending_, -1);
  Fiber* to = nullptr;
  for (;;) {
    set_thread(thread);
    try {
      grid_->invoke(grid_->closure);
    } catch (...) {
      error_ = std::current_exception();
    }
    if (error_) stop();
    state_[thread_] = State::returned;
    ++returned_;
    thread = next();
    if (thread < 0) {
      if (returned_ != threads_) report_deadlock();
      to = &os_thread_;
      break;
    }
    if (fiber_of_[thread] != nullptr) {
      to = std::exchange(fiber_of_[thread], nullptr);
      set_thread(thread);
      break;
    }
  }
  pool_.give_back(self);
  running_ = to;
  switch_fiber(self, to);
}

// The running thread waits; returns when it may go on.
void Executor::suspend() {
  Fiber* const self = running_;
  fiber_of_[thread_] = self;
  const int thread = next();
  if (thread < 0) report_deadlock();
  Fiber* to = std::exchange(fiber_of_[thread], nullptr);
  if (to != nullptr) {
    set_thread(thread);
  } else {
    to = pool_.take();
    pending_ = thread;
  }
  running_ = to;
  ++counted.switches;
  switch_fiber(self, to);
}

int Executor::wait_at_barrier(int predicate, const std::source_location& where) {
  if (at_barrier_ == 0) {
    barrier_where_ = where;
    barrier_first_ = thread_;
  } else if (!same_line(where, barrier_where_)) {
    report_divergence(where);
  }
  barrier_count_ += predicate != 0;
  if (++at_barrier_ == threads_) {
    release_barrier();
  } else {
    state_[thread_] = State::at_barrier;
    suspend();
  }
  return barrier_result_;
}

void Executor::release_barrier() {
  at_barrier_ = 0;
  barrier_result_ = std::exchange(barrier_count_, 0);
  for (int w = 0; w < warps_; ++w) {
    const int lanes = threads_ - w * kWarp;
    unsigned ready = low_bits(lanes);
    if (!lanes_in_order_ && lanes < kWarp) {
      ready = 0;
      for (int lane = 0; lane < lanes; ++lane) ready |= bit_of_[lane];
    }
    warps_of_block_[w].ready = ready;
  }
  ready_warps_ = low_bits(warps_);
  // The thread that came last runs on at once: it may overwrite what the others have yet to read.
  warp_ = &warps_of_block_[thread_ / kWarp];
  warp_->ready &= ~bit_of_[thread_ % kWarp];
  if (warp_->ready == 0) ready_warps_ &= ~(1u << warp_->position);
  std::memset(state_.data(), static_cast<int>(State::ready), threads_);
  if (observer_ != nullptr) observer_->barrier();
}

void Executor::record(const std::string& sentence) {
  error_ = std::make_exception_ptr(
      Report(fmt::format("{}: block {}: {}", grid_->name, text(block()), sentence)));
}

// The stacks of the block's threads are not unwound but used afresh.
void Executor::stop() { leave_fiber(std::exchange(running_, &os_thread_), &os_thread_); }

}  // namespace detail
}  // namespace host
}  // namespace cucina::simt
