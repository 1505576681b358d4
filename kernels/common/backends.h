// The backends of an op and the choice among them.
#pragma once

#include <array>
#include <optional>
#include <string>
#include <string_view>

#include "core/config.h"
#include "core/tensor.h"

namespace cucina {

// A set of dtypes a backend has kernels for.
struct DTypes {
  unsigned bits = 0;
  constexpr bool contains(DType dtype) const {
    return (bits >> static_cast<unsigned>(dtype) & 1u) != 0;
  }
};
inline constexpr DTypes kF32{1u << static_cast<unsigned>(DType::f32)};
inline constexpr DTypes kReal{kF32.bits | 1u << static_cast<unsigned>(DType::f64)};
inline constexpr DTypes kFloating{kReal.bits | 1u << static_cast<unsigned>(DType::bf16)};

// An op is a table of function pointers, one per entry of its contract, plus one provider per
// backend; kernels/unary/unary.h shows one. Host and Gpu are the targets: `hand` is our kernels
// under simt or on a GPU, `vendor` is oneDNN, or cuDNN and cuBLASLt. A null entry: this backend has
// none.
template <typename Op>
class Backends {
 public:
  // Null where this build has no such backend on that device.
  const Op* find(Backend backend, Device device) const {
    const auto& table =
        tables_[static_cast<std::size_t>(backend)][static_cast<std::size_t>(device)];
    return table.has_value() ? &*table : nullptr;
  }

  static const Backends& get() {
    static const Backends backends;
    return backends;
  }

 private:
  Backends() {
    at(Backend::reference, Device::cpu) = Op::reference();
    at(Backend::hand, Device::cpu) = Op::template hand<Host>();
    if constexpr (kHasCuda) at(Backend::hand, Device::cuda) = Op::template hand<Gpu>();
    if constexpr (kHasOnednn) at(Backend::vendor, Device::cpu) = Op::template vendor<Host>();
    if constexpr (kHasCudnn) at(Backend::vendor, Device::cuda) = Op::template vendor<Gpu>();
  }
  std::optional<Op>& at(Backend backend, Device device) {
    return tables_[static_cast<std::size_t>(backend)][static_cast<std::size_t>(device)];
  }

  std::array<std::array<std::optional<Op>, 2>, 3> tables_;
};

// The backend asked for by --backend, ScopedBackend or the environment's CUCINA_BACKEND; nullopt:
// automatic.
std::optional<Backend> forced_backend();
// "auto", "hand", "vendor" or "reference"; throws Error for another name.
std::optional<Backend> parse_backend(std::string_view text);
void force_backend(std::optional<Backend> backend);

class ScopedBackend {
 public:
  explicit ScopedBackend(std::optional<Backend> backend) : before_(forced_backend()) {
    force_backend(backend);
  }
  ~ScopedBackend() { force_backend(before_); }
  ScopedBackend(const ScopedBackend&) = delete;
  ScopedBackend& operator=(const ScopedBackend&) = delete;

 private:
  std::optional<Backend> before_;
};

// Which backends to try, in order. Automatic is vendor, then hand, or the other way round. A forced
// vendor falls back to hand where the library has no such op (dropout2d, say), so that a whole
// network can run on it; a forced hand or reference never falls back.
std::span<const Backend> preference(std::optional<Backend> forced, bool hand_first = false);

// Is an op's `hand` the one to try first for tensors of this device and dtype? An op whose hand was
// measured to be faster on a GPU (docs/numbers.md) says so with `bool hand_first_on_gpu(DType)`.
template <typename Op>
bool hand_first(Device device, DType dtype) {
  if constexpr (requires { Op::hand_first_on_gpu(dtype); })
    return device == Device::cuda && Op::hand_first_on_gpu(dtype);
  return false;
}

[[noreturn]] void throw_no_backend(std::string_view op, const Tensor& like);

// The function behind `entry` for tensors like `like`, by the order above.
//   throws   Error naming op, dtype and device when no backend has it
template <typename Op, typename Function>
Function choose(Function Op::*entry, const Tensor& like) {
  for (const Backend backend :
       preference(forced_backend(), hand_first<Op>(like.device(), like.dtype()))) {
    const Op* table = Backends<Op>::get().find(backend, like.device());
    if (table != nullptr && table->*entry != nullptr && table->dtypes.contains(like.dtype())) {
      return table->*entry;
    }
  }
  throw_no_backend(Op::kName, like);
}

// Throws Error naming `op` unless both tensors have the same dtype and device.
void check_alike(std::string_view op, std::string_view a_name, const Tensor& a,
                 std::string_view b_name, const Tensor& b);

}  // namespace cucina
