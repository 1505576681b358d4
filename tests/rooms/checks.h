// What every case of every room has to hold, as functions that return "" or a sentence.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "kernels/common/case.h"

namespace cucina::testing {

// The bytes of every output of the hand kernels for one call, from NaN-filled outputs.
using Bits = std::vector<std::vector<std::byte>>;
Bits hand_bits(const Call& call, Device device, DType dtype);

// Runs all entries of a case on one backend: agreement with the f64 reference, canaries, poisoned
// outputs, inputs left alone, and for entries that take a Write, both ways.
std::string check_agreement(const Case& c, Backend backend, Device device, DType dtype);

// The hand kernels' autograd gradient in f64 against central differences, on a sample of elements
// of every input.
std::string check_gradient(const Case& c);

// The hand kernels under every thread schedule and with poisoned shared memory: the same bits each
// time.
std::string check_schedules(const Case& c, DType dtype);

// The hand kernels under the race detector (a build instrumented for it), every schedule: no
// report.
std::string check_races(const Case& c, DType dtype);

// The hand kernels on the GPU and under simt: the same bits.
std::string check_same_bits(const Case& c, DType dtype);

}  // namespace cucina::testing
