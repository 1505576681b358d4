// What a launch must satisfy on either target, checked in one place.
#pragma once

#include <cstddef>

#include "core/stream.h"

namespace cucina::simt {

struct Dimensions {
  unsigned x, y, z;
};

// Throws Error, naming the launch and both numbers, unless a GPU of compute capability 8.0 or later
// could take it: no dimension is 0, at most 1024 threads (64 along z), grids within 2^31 - 1 x
// 65535 x 65535, dynamic shared memory within the 227 KiB of an H100, and `stream` is of the device
// `target`.
void check_launch(const char* name, Dimensions grid, Dimensions block, std::size_t shared_bytes,
                  const Stream& stream, Device target);

// Throws Error: CUDA refused `what` for the launch `name`. Here because nvcc does not take fmt's
// checked formats.
[[noreturn]] void report_refused(const char* name, const char* what, const char* why,
                                 const char* code, bool out_of_memory);

}  // namespace cucina::simt
