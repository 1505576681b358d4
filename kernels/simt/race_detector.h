// Watches every memory access of a launch for races and for reads of shared memory nobody wrote.
//
// Two accesses to one word by different threads, at least one a write and not both atomic, must be
// ordered: by a block barrier, or by a chain of __syncwarp between lanes of a warp (shuffles order
// no memory), or, between blocks, by a
// __threadfence after the first and an atomic before the second.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <unordered_map>
#include <vector>

#include "kernels/simt/executor.h"

namespace cucina::simt {
inline namespace host {
namespace detail {

enum class AccessKind : std::uint8_t { read, write, atomic };

class RaceDetector final : public Observer {
 public:
  RaceDetector(Executor& executor, const Grid& grid);
  ~RaceDetector() override;

  // The running thread touches memory; `place` is a return address into the kernel.
  void access(AccessKind kind, std::uintptr_t address, std::size_t bytes, std::uintptr_t place);

  void block_begins(std::uint64_t block) override;
  void barrier() override { ++epoch_; }
  void warp_sync(int first_thread_of_warp, unsigned lanes) override;
  void fence() override { ++fences_[serial_]; }
  void atomic(const void* address, std::size_t bytes, const std::source_location& where) override;
  void read(const void* address, int bytes, const std::source_location& where) override;
  void write(const void* address, int bytes, const std::source_location& where) override;
  void undefine(const void* address, int bytes, const std::source_location& where) override;

 private:
  // Who touched a word last, and when by the clocks that barriers and __syncwarp advance.
  struct Access {
    std::uint32_t serial = 0;  // of the block, from 1; 0: nobody
    std::uint32_t epoch = 0;   // barriers the block had passed
    std::uint32_t clock = 0;   // the lane's own
    std::uint32_t fences = 0;  // the block's, so far
    std::uint16_t thread = 0;
    std::uint8_t bytes = 0;  // of the word, one bit each
    std::uintptr_t place = 0;
  };
  struct Word {
    Access write;
    // By two different threads each, so that a writer among them still meets the other.
    std::array<Access, 2> read, atomic;
    std::uint32_t written_in = 0;  // the block `written` is about
    std::uint8_t written = 0;      // bytes, one bit each
  };
  static constexpr std::uintptr_t kPageWords = 1024;
  using Page = std::array<Word, kPageWords>;
  struct Range {
    std::uintptr_t begin, end;
    std::string name;
  };

  Word& word(std::uintptr_t index);
  // Of the bytes nobody was seen to write, the first that indeed nobody wrote; -1 when there is
  // none. GCC does not instrument the store of a call's result, but where memory is poisoned such a
  // store shows by its value.
  int unwritten_byte(std::uintptr_t address, unsigned unseen) const;
  void access_word(AccessKind kind, std::uintptr_t index, std::uint8_t bytes, std::uintptr_t place);
  void check(const Access& earlier, const char* did, const Access& now, const char* does,
             std::uintptr_t address);
  // The `place` of an access whose source line is known.
  std::uintptr_t place_of(const std::source_location& where);
  static void remember(std::array<Access, 2>& before, const Access& now);
  bool ordered(const Access& earlier, const Access& now, std::uintptr_t address) const;
  const Range* shared_range(std::uintptr_t address) const;
  std::string memory_name(std::uintptr_t address) const;
  std::string place_name(std::uintptr_t place) const;
  Index3 block_of(std::uint32_t serial) const;

  Executor& executor_;
  const bool poisoned_ = options().poison_shared;
  const Grid& grid_;
  std::vector<Range> shared_;  // sorted
  std::unordered_map<std::uintptr_t, std::unique_ptr<Page>> pages_;
  std::uintptr_t last_page_number_ = 0;
  Page* last_page_ = nullptr;

  std::uint32_t serial_ = 0;
  std::uint32_t epoch_ = 0;
  bool block_used_atomics_ = false;
  std::unordered_map<std::uint32_t, std::uint32_t> fences_;  // block serial -> fences
  // clock_[t] advances at every __syncwarp of thread t; known_[t][lane] is the clock of a lane of
  // its warp at their last common one, however indirect. Neither is ever reset: clocks only grow.
  std::vector<std::uint32_t> clock_;
  std::vector<std::array<std::uint32_t, kWarp>> known_;
  std::vector<std::source_location> places_;  // a `place` below its size is an index into it
};

// The detector of the launch this OS thread runs; null when there is none.
RaceDetector* running_detector();

}  // namespace detail
}  // namespace host
}  // namespace cucina::simt
