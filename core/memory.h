// Memory of one device: a stream-ordered caching pool, with statistics.
#pragma once

#include <cstddef>
#include <memory>

#include "core/device.h"

namespace cucina {

struct MemoryStatistics {
  std::size_t in_use = 0;       // bytes handed out now
  std::size_t peak = 0;         // the most in_use has been since reset_peak()
  std::size_t cached = 0;       // bytes kept for reuse
  std::size_t allocations = 0;  // requests served so far
  std::size_t cache_hits = 0;   // of these, from the cache
};

// A block of bytes, 64-byte aligned, given back to its pool when the last handle goes. On cuda it
// is allocated and freed in the order of the device's stream (cudaMallocAsync), so no allocation
// waits for the GPU.
//   throws   Error (exit code 4) naming asked, in-use and free bytes when memory runs out
class Storage {
 public:
  static std::shared_ptr<Storage> allocate(std::size_t bytes, Device device);
  // Wraps memory someone else owns; it must outlive the handle.
  static std::shared_ptr<Storage> borrow(void* data, std::size_t bytes, Device device);
  ~Storage();
  Storage(const Storage&) = delete;
  Storage& operator=(const Storage&) = delete;

  std::byte* data() const { return data_; }
  std::size_t bytes() const { return bytes_; }
  Device device() const { return device_; }

 private:
  Storage(std::byte* data, std::size_t bytes, Device device, bool owned)
      : data_(data), bytes_(bytes), device_(device), owned_(owned) {}

  std::byte* data_;
  std::size_t bytes_;
  Device device_;
  bool owned_;
};

MemoryStatistics memory_statistics(Device device);
void reset_peak(Device device);
// Gives cached blocks back to the system.
void release_cache(Device device);
// For tests: the next `after` allocations succeed, then every one fails, until called with -1.
void fail_allocations_after(long after);

// Copies bytes between any two devices, ordered after the work queued on both; returns when the
// copy from or to the cpu is done.
void copy_bytes(void* to, Device to_device, const void* from, Device from_device,
                std::size_t bytes);
// Sets bytes to zero, ordered on the device's stream.
void zero_bytes(void* data, Device device, std::size_t bytes);

}  // namespace cucina
