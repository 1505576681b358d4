// What checked programs can do beyond finding races: list the barriers kernels wait at, and leave
// one out.
#pragma once

#include <string>
#include <vector>

namespace cucina::simt {

// A __syncthreads() in the source of a kernel compiled with CUCINA_SIMT_REMOVABLE_BARRIERS.
struct BarrierSite {
  std::string file;  // as the compiler names it
  unsigned line = 0;
  unsigned column = 0;
  bool operator==(const BarrierSite&) const = default;
};

// Every barrier waited at since forget_barrier_sites(), in order of file, line and column.
std::vector<BarrierSite> barrier_sites();
void forget_barrier_sites();

// While it lives, kernels run through this barrier as if it were not there.
class ScopedRemovedBarrier {
 public:
  explicit ScopedRemovedBarrier(const BarrierSite& site);
  ~ScopedRemovedBarrier();
  ScopedRemovedBarrier(const ScopedRemovedBarrier&) = delete;
  ScopedRemovedBarrier& operator=(const ScopedRemovedBarrier&) = delete;
};

}  // namespace cucina::simt
