// The checks every launch passes before a kernel runs.
#include "kernels/simt/launch.h"

#include <cstdint>

#include "core/error.h"

namespace cucina::simt {

void check_launch(const char* name, Dimensions grid, Dimensions block, std::size_t shared_bytes,
                  const Stream& stream, Device target) {
  constexpr std::uint64_t kMaxThreads = 1024;
  constexpr std::size_t kMaxSharedBytes = 227 * 1024;
  if (grid.x == 0 || grid.y == 0 || grid.z == 0) {
    fail(
        "{}: the grid is {} x {} x {} but no dimension may be 0; skip the launch when there is no "
        "work",
        name, grid.x, grid.y, grid.z);
  }
  if (block.x == 0 || block.y == 0 || block.z == 0) {
    fail("{}: the block is {} x {} x {} but no dimension may be 0", name, block.x, block.y,
         block.z);
  }
  const std::uint64_t threads = std::uint64_t{block.x} * block.y * block.z;
  if (block.x > kMaxThreads || block.y > kMaxThreads || threads > kMaxThreads) {
    fail("{}: the block is {} x {} x {} = {} threads but at most {} fit", name, block.x, block.y,
         block.z, threads, kMaxThreads);
  }
  if (block.z > 64) fail("{}: the block is {} threads deep (z) but at most 64 fit", name, block.z);
  if (grid.x > 0x7fffffffu)
    fail("{}: the grid has {} blocks along x but at most {} fit", name, grid.x, 0x7fffffff);
  if (grid.y > 65535u || grid.z > 65535u) {
    fail("{}: the grid has {} x {} blocks along y and z but at most 65535 fit along each", name,
         grid.y, grid.z);
  }
  if (shared_bytes > kMaxSharedBytes) {
    fail("{}: {} bytes of dynamic shared memory asked for but at most {} fit", name, shared_bytes,
         kMaxSharedBytes);
  }
  if (stream.device() != target) {
    const auto where = [](Device device) { return device == Device::cuda ? "cuda" : "cpu"; };
    fail("{}: the kernel is compiled for {} but its stream is of {}", name, where(target),
         where(stream.device()));
  }
}

void report_refused(const char* name, const char* what, const char* why, const char* code,
                    bool out_of_memory) {
  fail(out_of_memory ? ExitCode::no_resources : ExitCode::run_failed, "{}: {} failed: {} ({})",
       name, what, why, code);
}

}  // namespace cucina::simt
