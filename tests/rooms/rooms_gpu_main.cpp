// Every case of every room on the GPU: hand and vendor against the reference, and hand against simt
// bit for bit.
#include <fmt/core.h>
#include <gtest/gtest.h>

#include "core/cuda_runtime.h"
#include "tests/rooms/checks.h"
#include "tests/rooms/registration.h"

namespace {

// Runs `check` where there is a GPU; skips with a sentence where there is none.
void add_gpu_test(std::string_view suite, const std::string& name,
                  std::function<std::string()> check) {
  cucina::testing::add_test(suite, name, [check]() -> std::string {
    if (cucina::cuda_available()) return check();
    [] { GTEST_SKIP() << "no GPU on this machine: this test runs the CUDA kernels"; }();
    return "";
  });
}

}  // namespace

int main(int argc, char** argv) {
  using cucina::Backend;
  using cucina::Device;
  using cucina::DType;
  ::testing::InitGoogleTest(&argc, argv);
  cucina::testing::for_each_case([](const cucina::OpEntry& room, const cucina::Case& c) {
    for (const DType dtype : {DType::f32, DType::f64}) {
      for (const Backend backend : {Backend::hand, Backend::vendor}) {
        if (!room.dtypes(backend, Device::cuda).contains(dtype)) continue;
        add_gpu_test(
            room.name, fmt::format("{}/cuda_{}_{}", c.name, name(backend), name(dtype)),
            [=] { return cucina::testing::check_agreement(c, backend, Device::cuda, dtype); });
      }
      add_gpu_test(room.name, fmt::format("{}/cuda_same_bits_{}", c.name, name(dtype)),
                   [=] { return cucina::testing::check_same_bits(c, dtype); });
    }
  });
  return RUN_ALL_TESTS();
}
