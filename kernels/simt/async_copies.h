// cp.async on the host: the copies a thread has begun, performed when it waits for them.
#pragma once

#include <source_location>
#include <vector>

namespace cucina::simt {
inline namespace host {
namespace detail {

struct AsyncCopy {
  void* to;
  const void* from;
  int bytes;
  int source_bytes;    // the rest of `bytes` is zeros
  unsigned group = 0;  // how many groups its thread had committed before
  std::source_location where;
};

// One thread's, in the order they began.
struct AsyncCopies {
  std::vector<AsyncCopy> under_way;
  unsigned committed = 0;  // groups
};

}  // namespace detail
}  // namespace host
}  // namespace cucina::simt
