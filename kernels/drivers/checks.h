// What every case of every room has to hold, as functions that return "" or a sentence.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "kernels/common/case.h"
#include "kernels/common/precision.h"

namespace cucina::drivers {

// The number format a check runs in: a dtype, and for f32 how exact products have to be.
struct Format {
  DType dtype = DType::f32;
  Precision precision = Precision::f32;
};
// "f32", "tf32", "bf16"
std::string_view name(Format format);
// The formats `room` has kernels for on that backend and device; tf32 where it uses tensor cores.
std::vector<Format> formats(const OpEntry& room, Backend backend, Device device);

// The fewest bytes a call can move, for tensors of a case that runs in `dtype`.
double least_bytes(const Call& call, DType dtype);

// Over all calls of a case: what a check of it costs grows with this.
std::int64_t input_elements(const Case& c);

// The bytes of every output of the hand kernels for one call, from NaN-filled outputs.
using Bits = std::vector<std::vector<std::byte>>;
Bits hand_bits(const Call& call, Device device, Format format);

// Runs all entries of a case on one backend: agreement with the f64 reference, canaries, poisoned
// outputs, inputs left alone, and for entries that take a Write, both ways.
std::string check_agreement(const Case& c, Backend backend, Device device, Format format);

// The hand kernels' autograd gradient in f64 against central differences, on a sample of elements
// of every input.
struct GradientCheck {
  double worst = 0;         // relative error, of the size of the gradient
  std::string worst_input;  // the input it was found in
  std::string failure;      // "" when worst is within kGradientTolerance, else a sentence
};
inline constexpr double kGradientTolerance = 1e-6;
GradientCheck check_gradient(const Case& c);

// The hand kernels in f32 with one NaN, then one Inf, at a random element of each floating-point
// input in turn: NaN and Inf come out where the reference has them, and all else agrees as ever.
// Of an input that `spreads`, none may vanish.
std::string check_nonfinite(const Case& c);

// The hand kernels under every thread schedule and with poisoned shared memory: the same bits each
// time.
std::string check_schedules(const Case& c, Format format);

// The hand kernels under the race detector (a build instrumented for it), every schedule: no
// report.
std::string check_races(const Case& c, Format format);

// The hand kernels on the GPU and under simt: the same bits.
std::string check_same_bits(const Case& c, Format format);

}  // namespace cucina::drivers
