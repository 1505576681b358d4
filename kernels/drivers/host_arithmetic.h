// Loops that do nothing but multiply and add, to see how much of it one thread can do.
#pragma once

#include <cstdint>

namespace cucina::drivers {

// Each does `rounds` rounds in registers and returns how many floating-point operations that were.
double multiply_add_f32(std::int64_t rounds);
double multiply_add_f64(std::int64_t rounds);

}  // namespace cucina::drivers
