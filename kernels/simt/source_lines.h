// Which source line an instruction was compiled from, by the program's own debug information.
#pragma once

#include <cstdint>
#include <string>

namespace cucina::simt {
inline namespace host {
namespace detail {

// "relu.cu:12" for the call whose return address this is; the bare address without debug
// information.
std::string source_line(std::uintptr_t return_address);

}  // namespace detail
}  // namespace host
}  // namespace cucina::simt
