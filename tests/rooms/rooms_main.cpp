// Every case of every room on the cpu: agreement per backend and format, gradients, NaN
// and Inf, thread schedules.
#include <fmt/core.h>
#include <gtest/gtest.h>

#include <set>

#include "kernels/drivers/checks.h"
#include "tests/rooms/registration.h"

namespace {
constexpr std::int64_t kMostForNonfinite = 100'000;
// To be judged once they are rewritten.
const std::set<std::string_view> kNonfiniteLater{"adam", "batch_norm", "sgd"};
}  // namespace

int main(int argc, char** argv) {
  using cucina::Backend;
  using cucina::Device;
  using cucina::drivers::Format;
  using cucina::testing::add_test;
  ::testing::InitGoogleTest(&argc, argv);
  cucina::testing::for_each_case([](const cucina::OpEntry& room, const cucina::Case& c) {
    for (const Backend backend : {Backend::reference, Backend::hand, Backend::vendor}) {
      for (const Format format : cucina::drivers::formats(room, backend, Device::cpu)) {
        add_test(room.name, fmt::format("{}/{}_{}", c.name, name(backend), name(format)),
                 [=] { return cucina::drivers::check_agreement(c, backend, Device::cpu, format); });
      }
    }
    if (c.function)
      add_test(room.name, c.name + "/gradient",
               [=] { return cucina::drivers::check_gradient(c).failure; });
    // What a NaN does to one tile it does to all of them.
    if (!kNonfiniteLater.contains(room.name) &&
        room.dtypes(Backend::hand, Device::cpu).contains(cucina::DType::f32) &&
        cucina::drivers::input_elements(c) <= kMostForNonfinite) {
      add_test(room.name, c.name + "/nonfinite_f32",
               [=] { return cucina::drivers::check_nonfinite(c); });
    }
    for (const Format format : cucina::drivers::formats(room, Backend::hand, Device::cpu)) {
      add_test(room.name, fmt::format("{}/schedules_{}", c.name, name(format)),
               [=] { return cucina::drivers::check_schedules(c, format); });
    }
  });
  return cucina::testing::run_all();
}
