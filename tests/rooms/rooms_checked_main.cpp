// Every small enough case of every room under the race detector, in kernels compiled for it.
#include <fmt/core.h>
#include <gtest/gtest.h>

#include "tests/rooms/checks.h"
#include "tests/rooms/registration.h"

int main(int argc, char** argv) {
  ::testing::InitGoogleTest(&argc, argv);
  cucina::testing::for_each_case([](const cucina::OpEntry& room, const cucina::Case& c) {
    std::int64_t elements = 0;
    for (const cucina::Call& call : c.calls) {
      for (const cucina::Operand& operand : call.inputs) elements += operand.shape.elements();
    }
    // Every access of a kernel is a call here, some hundred times slower than the access.
    if (elements > 200'000) return;
    cucina::testing::add_test(room.name, c.name + "/races_f32",
                              [=] { return cucina::testing::check_races(c, cucina::DType::f32); });
  });
  return RUN_ALL_TESTS();
}
