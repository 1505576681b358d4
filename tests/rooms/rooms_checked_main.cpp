// Every small enough case of every room under the race detector, in kernels compiled for it.
#include <fmt/core.h>
#include <gtest/gtest.h>

#include "kernels/drivers/checks.h"
#include "tests/rooms/registration.h"

int main(int argc, char** argv) {
  using cucina::drivers::Format;
  ::testing::InitGoogleTest(&argc, argv);
  cucina::testing::for_each_case([](const cucina::OpEntry& room, const cucina::Case& c) {
    // Every access of a kernel is a call here, some hundred times slower than the access.
    if (cucina::drivers::input_elements(c) > 200'000) return;
    for (const Format format :
         cucina::drivers::formats(room, cucina::Backend::hand, cucina::Device::cpu)) {
      // f64 runs the templates that f32 runs; tf32 and bf16 may run kernels of their own.
      if (format.dtype == cucina::DType::f64) continue;
      cucina::testing::add_test(room.name, fmt::format("{}/races_{}", c.name, name(format)),
                                [=] { return cucina::drivers::check_races(c, format); });
    }
  });
  return cucina::testing::run_all();
}
