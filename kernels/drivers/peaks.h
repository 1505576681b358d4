// What a machine can do at most, which the times of kernels are compared with.
#pragma once

#include <cstddef>
#include <string>

#include "kernels/common/case.h"
#include "kernels/drivers/checks.h"

namespace cucina::drivers {

struct Peaks {
  double copy = 0;  // bytes read and written per second by a large copy; measured
  // Of multiplications and additions per second.
  double f32 = 0, f64 = 0, bf16 = 0, tf32 = 0;
  double start = 0;             // seconds the smallest call takes: a GPU's node of a graph
  std::size_t cache_bytes = 0;  // what has to be exceeded for operands to come from memory
  std::string how;              // where the numbers come from, a sentence

  double flops(Format format) const;
};

// On the cpu: a copy and a loop of fused multiply-adds in all threads, measured now; bf16 counts as
// f32, so a library that uses a processor's matrix unit can exceed it. On cuda: the copy and a
// graph's node are measured; the arithmetic is the documented rate of a multiprocessor times their
// number and highest clock.
//   source  NVIDIA A100 and H100 white papers, tables of peak rates (dense)
Peaks measure_peaks(Device device);

// Of the largest cache, as the system names it.
std::size_t cache_bytes(Device device);

// The time below which no kernel can do this call: that of its arithmetic, or of moving its bytes,
// whichever is more.
struct Floor {
  double seconds = 0;
  bool by_arithmetic = false;
};
Floor floor_of(const Call& call, Format format, const Peaks& peaks);

}  // namespace cucina::drivers
