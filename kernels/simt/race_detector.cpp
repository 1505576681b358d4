// Keeps the last accesses of every word and the clocks that order them.
#include "kernels/simt/race_detector.h"

#include <algorithm>
#include <bit>

#include "kernels/simt/races.h"
#include "kernels/simt/shared_variables.h"
#include "kernels/simt/source_lines.h"

namespace cucina::simt {
inline namespace host {
namespace detail {
namespace {

constinit thread_local RaceDetector* detector_here = nullptr;

constexpr std::uintptr_t kWordBytes = 4;

}  // namespace

RaceDetector* running_detector() { return detector_here; }

RaceDetector::RaceDetector(Executor& executor, const Grid& grid)
    : executor_(executor), grid_(grid), clock_(kMaxThreads, 1), known_(kMaxThreads) {
  for (auto& known : known_) known.fill(0);
  for (const SharedVariable& variable : shared_variables_here()) {
    const auto begin = reinterpret_cast<std::uintptr_t>(variable.address);
    shared_.push_back({begin, begin + variable.bytes, "shared variable " + variable.name});
  }
  detector_here = this;
}

RaceDetector::~RaceDetector() { detector_here = nullptr; }

void RaceDetector::block_begins(std::uint64_t block) {
  serial_ = static_cast<std::uint32_t>(block) + 1;
  epoch_ = 0;
  block_used_atomics_ = false;
  fences_[serial_] = 0;
  std::erase_if(shared_, [](const Range& range) { return range.name == "dynamic shared memory"; });
  if (executor_.dynamic_shared_bytes() > 0) {
    const auto begin = reinterpret_cast<std::uintptr_t>(executor_.dynamic_shared());
    shared_.push_back({begin, begin + executor_.dynamic_shared_bytes(), "dynamic shared memory"});
    std::sort(shared_.begin(), shared_.end(),
              [](const Range& a, const Range& b) { return a.begin < b.begin; });
  }
}

void RaceDetector::warp_sync(int first, unsigned lanes) {
  std::array<std::uint32_t, kWarp> joint{};
  for (unsigned rest = lanes; rest != 0; rest &= rest - 1) {
    const int lane = std::countr_zero(rest);
    known_[first + lane][lane] = clock_[first + lane];
    for (int k = 0; k < kWarp; ++k) joint[k] = std::max(joint[k], known_[first + lane][k]);
  }
  for (unsigned rest = lanes; rest != 0; rest &= rest - 1) {
    const int lane = std::countr_zero(rest);
    known_[first + lane] = joint;
    ++clock_[first + lane];
  }
}

RaceDetector::Word& RaceDetector::word(std::uintptr_t index) {
  const std::uintptr_t number = index / kPageWords;
  if (last_page_ == nullptr || number != last_page_number_) {
    std::unique_ptr<Page>& page = pages_[number];
    if (!page) page = std::make_unique<Page>();
    last_page_ = page.get();
    last_page_number_ = number;
  }
  return (*last_page_)[index % kPageWords];
}

const RaceDetector::Range* RaceDetector::shared_range(std::uintptr_t address) const {
  const auto after =
      std::upper_bound(shared_.begin(), shared_.end(), address,
                       [](std::uintptr_t a, const Range& range) { return a < range.begin; });
  if (after == shared_.begin()) return nullptr;
  const Range& range = *std::prev(after);
  return address < range.end ? &range : nullptr;
}

std::string RaceDetector::memory_name(std::uintptr_t address) const {
  const Range* shared = shared_range(address);
  if (shared == nullptr) return fmt::format("global memory at {:#x}", address);
  return fmt::format("{} (byte {})", shared->name, address - shared->begin);
}

std::string RaceDetector::place_name(std::uintptr_t place) const {
  return place < places_.size() ? text(places_[place]) : source_line(place);
}

Index3 RaceDetector::block_of(std::uint32_t serial) const {
  const unsigned block = serial - 1;
  return {block % grid_.grid.x, block / grid_.grid.x % grid_.grid.y,
          block / grid_.grid.x / grid_.grid.y};
}

bool RaceDetector::ordered(const Access& earlier, const Access& now, std::uintptr_t address) const {
  if (earlier.serial != now.serial) {
    if (shared_range(address) != nullptr) return true;  // every block has its own
    return block_used_atomics_ && fences_.at(earlier.serial) > earlier.fences;
  }
  if (earlier.thread == now.thread || earlier.epoch != now.epoch) return true;
  if (earlier.thread / kWarp != now.thread / kWarp) return false;
  return known_[now.thread][earlier.thread % kWarp] >= earlier.clock;
}

void RaceDetector::check(const Access& earlier, const char* did, const Access& now,
                         const char* does, std::uintptr_t address) {
  const unsigned common = earlier.bytes & now.bytes;
  if (earlier.serial == 0 || common == 0 || ordered(earlier, now, address)) return;
  const bool other_block = earlier.serial != now.serial;
  executor_.record(fmt::format(
      "race on {}: thread {}{} {} at {} and thread {} {} at {}, with no {} between",
      memory_name(address + std::countr_zero(common)), text(executor_.index(earlier.thread)),
      other_block ? " of block " + text(block_of(earlier.serial)) : std::string(), did,
      place_name(earlier.place), text(executor_.index(now.thread)), does, place_name(now.place),
      other_block ? "ordering" : "barrier"));
  executor_.stop();
}

void RaceDetector::remember(std::array<Access, 2>& before, const Access& now) {
  for (Access& earlier : before) {
    if (earlier.serial == now.serial && earlier.thread == now.thread) {
      const std::uint8_t still = earlier.epoch == now.epoch ? earlier.bytes : std::uint8_t{0};
      earlier = now;
      earlier.bytes |= still;
      return;
    }
  }
  // What happened before the last barrier can race no more; otherwise the second place is for the
  // newest thread.
  Access& first = before[0];
  const bool first_is_past = first.serial == now.serial && first.epoch != now.epoch;
  (first.serial == 0 || first_is_past ? first : before[1]) = now;
}

int RaceDetector::unwritten_byte(std::uintptr_t address, unsigned unseen) const {
  for (; unseen != 0; unseen &= unseen - 1) {
    const int byte = std::countr_zero(unseen);
    const auto* at = reinterpret_cast<const volatile std::uint8_t*>(address) + byte;
    if (!poisoned_ || *at == poison_at(address + static_cast<unsigned>(byte))) return byte;
  }
  return -1;
}

void RaceDetector::access_word(AccessKind kind, std::uintptr_t index, std::uint8_t bytes,
                               std::uintptr_t place) {
  Word& word = this->word(index);
  const std::uintptr_t address = index * kWordBytes;
  const int thread = executor_.thread();
  const Access now{
      serial_, epoch_, clock_[thread], fences_[serial_], static_cast<std::uint16_t>(thread),
      bytes,   place};
  if (word.written_in != serial_) {
    word.written_in = serial_;
    word.written = 0;
  }
  const char* const does = kind == AccessKind::read    ? "reads"
                           : kind == AccessKind::write ? "writes"
                                                       : "updates";
  check(word.write, "wrote", now, does, address);
  if (kind != AccessKind::atomic) {
    for (const Access& atomic : word.atomic) check(atomic, "updated", now, does, address);
  }
  if (kind != AccessKind::read) {
    for (const Access& read : word.read) check(read, "read", now, does, address);
  }
  if (kind == AccessKind::read) {
    const int byte = unwritten_byte(address, bytes & ~word.written);
    if (byte >= 0 && shared_range(address + std::countr_zero(bytes)) != nullptr) {
      executor_.record(fmt::format(
          "thread {} reads {} at {}, which no thread of the block has written",
          text(executor_.index(thread)), memory_name(address + byte), place_name(place)));
      executor_.stop();
    }
    remember(word.read, now);
    return;
  }
  word.written |= bytes;
  if (kind == AccessKind::atomic) {
    remember(word.atomic, now);
  } else {
    word.write = now;
  }
}

void RaceDetector::access(AccessKind kind, std::uintptr_t address, std::size_t bytes,
                          std::uintptr_t place) {
  const auto stack = reinterpret_cast<std::uintptr_t>(executor_.running()->low);
  if (address - stack < executor_.running()->size) return;  // the thread's own locals
  const std::uintptr_t end = address + bytes;
  for (std::uintptr_t index = address / kWordBytes; index * kWordBytes < end; ++index) {
    const std::uintptr_t begin = index * kWordBytes;
    const unsigned from = address > begin ? static_cast<unsigned>(address - begin) : 0;
    const unsigned to = end < begin + kWordBytes ? static_cast<unsigned>(end - begin) : kWordBytes;
    access_word(kind, index, static_cast<std::uint8_t>((1u << to) - (1u << from)), place);
  }
}

std::uintptr_t RaceDetector::place_of(const std::source_location& where) {
  std::size_t place = 0;
  while (place < places_.size() && !same_line(places_[place], where)) ++place;
  if (place == places_.size()) places_.push_back(where);
  return place;
}

void RaceDetector::atomic(const void* address, std::size_t bytes,
                          const std::source_location& where) {
  block_used_atomics_ = true;
  access(AccessKind::atomic, reinterpret_cast<std::uintptr_t>(address), bytes, place_of(where));
}

void RaceDetector::read(const void* address, int bytes, const std::source_location& where) {
  access(AccessKind::read, reinterpret_cast<std::uintptr_t>(address),
         static_cast<std::size_t>(bytes), place_of(where));
}

void RaceDetector::write(const void* address, int bytes, const std::source_location& where) {
  access(AccessKind::write, reinterpret_cast<std::uintptr_t>(address),
         static_cast<std::size_t>(bytes), place_of(where));
}

void RaceDetector::undefine(const void* address, int bytes, const std::source_location& where) {
  write(address, bytes, where);
  const auto begin = reinterpret_cast<std::uintptr_t>(address);  // a multiple of a word
  for (int byte = 0; byte < bytes; byte += static_cast<int>(kWordBytes)) {
    word((begin + static_cast<unsigned>(byte)) / kWordBytes).written = 0;
  }
}

}  // namespace detail
}  // namespace host
}  // namespace cucina::simt
