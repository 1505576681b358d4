// Every case of every room on the GPU: hand and vendor against the reference, and hand against simt
// bit for bit.
#include <fmt/core.h>
#include <gtest/gtest.h>

#include "core/cuda_runtime.h"
#include "kernels/drivers/checks.h"
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
  using cucina::drivers::Format;
  ::testing::InitGoogleTest(&argc, argv);
  cucina::testing::for_each_case([](const cucina::OpEntry& room, const cucina::Case& c) {
    for (const Backend backend : {Backend::hand, Backend::vendor}) {
      for (const Format format : cucina::drivers::formats(room, backend, Device::cuda)) {
        add_gpu_test(
            room.name, fmt::format("{}/cuda_{}_{}", c.name, name(backend), name(format)),
            [=] { return cucina::drivers::check_agreement(c, backend, Device::cuda, format); });
      }
    }
    for (const Format format : cucina::drivers::formats(room, Backend::hand, Device::cuda)) {
      // Tensor cores add in an order of their own.
      if (format.precision == cucina::Precision::tf32) continue;
      if (room.tensor_cores && format.dtype == cucina::DType::bf16) continue;
      add_gpu_test(room.name, fmt::format("{}/cuda_same_bits_{}", c.name, name(format)),
                   [=] { return cucina::drivers::check_same_bits(c, format); });
    }
  });
  return cucina::testing::run_all();
}
