// Finds the `__shared__` variables of all kernels in the program, which the host keeps as
// thread-local statics.
#pragma once

#include <cstddef>
#include <span>
#include <string>

namespace cucina::simt {
inline namespace host {
namespace detail {

struct SharedVariable {
  void* address;  // the calling OS thread's
  std::size_t bytes;
  std::string name;  // "tile"
};

// The shared variables of this OS thread, in order of address.
//   throws   Error when the program's symbol table was stripped, so that they cannot be found
std::span<const SharedVariable> shared_variables_here();

}  // namespace detail
}  // namespace host
}  // namespace cucina::simt
