// The pools: a caching one for the host, the driver's stream-ordered one on cuda; and copies
// between devices.
#include "core/memory.h"

#include <atomic>
#include <cstdlib>
#include <cstring>
#include <map>
#include <mutex>
#include <vector>

#include "core/cuda_runtime.h"
#include "core/error.h"
#include "core/stream.h"

namespace cucina {
namespace {

constexpr std::size_t kAlignment = 64;
#ifdef __SANITIZE_ADDRESS__
// Blocks of exactly the asked size, freed for real, let AddressSanitizer see overruns and use after
// free.
constexpr bool kCaching = false;
#else
constexpr bool kCaching = true;
#endif

// Small blocks in steps of 64 bytes; larger ones in eighths of a power of two: at most 1/8 is
// wasted.
std::size_t size_class(std::size_t bytes) {
  std::size_t step = kAlignment;
  while (step * 16 <= bytes) step *= 2;
  return (bytes + step - 1) / step * step;
}

struct Pool {
  std::mutex mutex;
  MemoryStatistics statistics;
  std::map<std::size_t, std::vector<void*>> cache;  // host only, by size class
};

// Never destroyed: tensors of static storage duration may give memory back during exit.
Pool& pool(Device device) {
  static Pool& cpu = *new Pool;
  static Pool& cuda = *new Pool;
  return device == Device::cpu ? cpu : cuda;
}

std::atomic<long> allocations_left{-1};

bool allocation_fails() {
  long left = allocations_left.load();
  while (left > 0 && !allocations_left.compare_exchange_weak(left, left - 1)) {
  }
  return left == 0;
}

std::string mebibytes(std::size_t bytes) {
  return fmt::format("{:.1f} MiB", static_cast<double>(bytes) / (1 << 20));
}

[[noreturn]] void throw_out_of_memory(std::size_t bytes, Device device, const Pool& pool) {
  std::string room;
  if (device == Device::cuda) {
    std::size_t free = 0, total = 0;
    cuda_runtime()->free_and_total(&free, &total);
    room = fmt::format(", {} of {} free on the GPU", mebibytes(free), mebibytes(total));
  }
  fail(ExitCode::no_resources,
       "out of memory on {}: {} asked for, {} in use by cucina (peak {}){}; a smaller --batch-size "
       "needs less",
       name(device), mebibytes(bytes), mebibytes(pool.statistics.in_use),
       mebibytes(pool.statistics.peak), room);
}

void* host_allocate(Pool& pool, std::size_t bytes) {
  if (!kCaching) {
    void* data = nullptr;
    return posix_memalign(&data, kAlignment, bytes) == 0 ? data : nullptr;
  }
  const std::size_t rounded = size_class(bytes);
  if (auto found = pool.cache.find(rounded); found != pool.cache.end() && !found->second.empty()) {
    void* data = found->second.back();
    found->second.pop_back();
    pool.statistics.cached -= rounded;
    ++pool.statistics.cache_hits;
    return data;
  }
  return std::aligned_alloc(kAlignment, rounded);
}

void host_free(Pool& pool, void* data, std::size_t bytes) {
  if (!kCaching) {
    std::free(data);
    return;
  }
  const std::size_t rounded = size_class(bytes);
  pool.cache[rounded].push_back(data);
  pool.statistics.cached += rounded;
}

}  // namespace

std::shared_ptr<Storage> Storage::allocate(std::size_t bytes, Device device) {
  if (device == Device::cuda) require_cuda();
  if (bytes == 0) return std::shared_ptr<Storage>(new Storage(nullptr, 0, device, false));
  void* const stream = Stream::current(device).native();
  Pool& p = pool(device);
  const std::lock_guard lock(p.mutex);
  void* data = nullptr;
  if (!allocation_fails()) {
    data =
        device == Device::cpu ? host_allocate(p, bytes) : cuda_runtime()->allocate(bytes, stream);
  }
  if (data == nullptr) throw_out_of_memory(bytes, device, p);
  ++p.statistics.allocations;
  p.statistics.in_use += bytes;
  if (p.statistics.in_use > p.statistics.peak) p.statistics.peak = p.statistics.in_use;
  return std::shared_ptr<Storage>(new Storage(static_cast<std::byte*>(data), bytes, device, true));
}

std::shared_ptr<Storage> Storage::borrow(void* data, std::size_t bytes, Device device) {
  return std::shared_ptr<Storage>(new Storage(static_cast<std::byte*>(data), bytes, device, false));
}

Storage::~Storage() {
  if (!owned_) return;
  Pool& p = pool(device_);
  const std::lock_guard lock(p.mutex);
  p.statistics.in_use -= bytes_;
  if (device_ == Device::cpu) {
    host_free(p, data_, bytes_);
  } else {
    cuda_runtime()->free(data_, Stream::current(device_).native());
  }
}

MemoryStatistics memory_statistics(Device device) {
  Pool& p = pool(device);
  const std::lock_guard lock(p.mutex);
  return p.statistics;
}

void reset_peak(Device device) {
  Pool& p = pool(device);
  const std::lock_guard lock(p.mutex);
  p.statistics.peak = p.statistics.in_use;
}

void release_cache(Device device) {
  if (device == Device::cuda) {
    if (cuda_available()) cuda_runtime()->trim();
    return;
  }
  Pool& p = pool(device);
  const std::lock_guard lock(p.mutex);
  for (auto& [size, blocks] : p.cache) {
    for (void* data : blocks) std::free(data);
  }
  p.cache.clear();
  p.statistics.cached = 0;
}

void fail_allocations_after(long after) { allocations_left.store(after); }

void copy_bytes(void* to, Device to_device, const void* from, Device from_device,
                std::size_t bytes) {
  if (bytes == 0 || to == from) return;
  if (to_device == Device::cpu && from_device == Device::cpu) {
    std::memmove(to, from, bytes);
    return;
  }
  const Stream stream = Stream::current(Device::cuda);
  // A graph would copy from or to what lies at that address of the host when it is launched.
  if (to_device != from_device && is_capturing(stream))
    fail("a copy of {} bytes from {} to {} cannot be part of a graph", bytes, name(from_device),
         name(to_device));
  cuda_runtime()->copy(to, from, bytes, stream.native());
  // The host's memory is pageable: CUDA has read it when the call returns, but may still write to
  // it.
  if (to_device == Device::cpu) stream.synchronize();
}

void zero_bytes(void* data, Device device, std::size_t bytes) {
  if (bytes == 0) return;
  if (device == Device::cpu) {
    std::memset(data, 0, bytes);
  } else {
    cuda_runtime()->zero(data, bytes, Stream::current(device).native());
  }
}

}  // namespace cucina
