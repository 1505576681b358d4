// Every case of every room on the cpu: agreement per backend and dtype, gradients, thread
// schedules.
#include <fmt/core.h>
#include <gtest/gtest.h>

#include "tests/rooms/checks.h"
#include "tests/rooms/registration.h"

int main(int argc, char** argv) {
  using cucina::Backend;
  using cucina::Device;
  using cucina::DType;
  ::testing::InitGoogleTest(&argc, argv);
  cucina::testing::for_each_case([](const cucina::OpEntry& room, const cucina::Case& c) {
    for (const Backend backend : {Backend::reference, Backend::hand, Backend::vendor}) {
      for (const DType dtype : {DType::f32, DType::f64}) {
        if (!room.dtypes(backend, Device::cpu).contains(dtype)) continue;
        cucina::testing::add_test(
            room.name, fmt::format("{}/{}_{}", c.name, name(backend), name(dtype)),
            [=] { return cucina::testing::check_agreement(c, backend, Device::cpu, dtype); });
      }
    }
    if (c.function)
      cucina::testing::add_test(room.name, c.name + "/gradient",
                                [=] { return cucina::testing::check_gradient(c); });
    for (const DType dtype : {DType::f32, DType::f64}) {
      cucina::testing::add_test(room.name, fmt::format("{}/schedules_{}", c.name, name(dtype)),
                                [=] { return cucina::testing::check_schedules(c, dtype); });
    }
  });
  return RUN_ALL_TESTS();
}
