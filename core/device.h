// Where memory is (Device), who computes (Backend), and the tags that say which machine a kernel is
// compiled for.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace cucina {

// Where a tensor's bytes live. One GPU per process: the current CUDA device.
enum class Device : std::uint8_t { cpu, cuda };

// Who computes an op. `reference` defines right; `hand` is our .cu kernels (on the cpu they run
// under simt); `vendor` is oneDNN on the cpu, cuDNN and cuBLASLt on cuda.
enum class Backend : std::uint8_t { reference, hand, vendor };

// The two machines a .cu file is compiled for; entry points are instantiated for one of them per
// compiler.
struct Host {};
struct Gpu {};

std::string_view name(Device device);
std::string_view name(Backend backend);

}  // namespace cucina
