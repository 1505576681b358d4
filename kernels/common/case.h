// Cases: the calls that every driver (agreement, gradients, canaries, schedules, benchmarks) makes
// of every room.
#pragma once

#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/tensor.h"
#include "kernels/common/backends.h"

namespace cucina {

// How a driver fills an input before a call.
enum class Fill : std::uint8_t {
  uniform,         // [-1, 1]
  positive,        // [0.5, 1.5]: variances and the like
  away_from_zero,  // +-[0.25, 1]: no kink of relu within reach of a finite difference
  distinct,        // all elements differ by at least 1/elements: max pooling has no ties
  labels,          // i32 in [0, classes)
  bytes,           // u8 in [0, 255]
};

// One tensor a call reads or writes.
struct Operand {
  std::string name;
  Shape shape;
  Fill fill = Fill::uniform;
  std::optional<DType> dtype = std::nullopt;  // nullopt: the dtype the case runs in
  int classes = 0;                            // for Fill::labels
  bool wide = false;  // of compute_dtype: f32 where the case runs in bf16 (statistics, a state)
  // A NaN or Inf in it may reach more outputs of `hand` than of `reference`, as the contract says:
  // taps over padding multiply zeros.
  bool spreads = false;

  DType dtype_in(DType case_dtype) const {
    return dtype.value_or(wide ? compute_dtype(case_dtype) : case_dtype);
  }
};

using Tensors = std::vector<Tensor>;

// One call of one entry of a room's table.
struct Call {
  std::string entry;  // "backward_weight"
  std::vector<Operand> inputs;
  std::vector<Operand> outputs;
  bool accumulates = false;  // takes a Write
  // Runs the entry of that backend; false when it has none for this dtype and device.
  std::function<bool(Backend, Device, DType, const Tensors& in, const Tensors& out, Write)> run;
  // Computes inputs that depend on others (a saved mean, an argmax) on the cpu, after filling; may
  // be empty.
  std::function<void(Tensors& in)> prepare = {};
  double flops = 0;
  // The fewest bytes the call can move; nullopt: every input read and every output written once.
  std::function<double(DType)> bytes = {};
};

// Where a case is timed by the benchmarks.
enum class Timed : std::uint8_t {
  nowhere,
  everywhere,
  gpu,  // on a GPU only: too large for a CPU
};

// A call's `run` for an entry: `body(function, in, out, write)` spells out the arguments.
template <typename Op, typename Function, typename Body>
auto run_entry(Function Op::*entry, Body body) {
  return [entry, body](Backend backend, Device device, DType dtype, const Tensors& in,
                       const Tensors& out, Write write) {
    const Op* table = Backends<Op>::get().find(backend, device);
    if (table == nullptr || table->*entry == nullptr || !table->dtypes.contains(dtype))
      return false;
    body(table->*entry, in, out, write);
    return true;
  };
}

// One set of shapes and parameters of an op.
struct Case {
  std::string name;  // "stride2_pad1_odd": letters, digits and underscores
  std::vector<Call> calls;
  // The op through its front door, for the gradient check in f64: a differentiable function of
  // `inputs`. Empty where the op has no gradient (an optimiser).
  std::vector<Operand> inputs = {};
  std::function<Tensor(const Tensors& in)> function = {};
  Timed timed = Timed::nowhere;
  bool checked = true;  // false: for timing alone, too large to check against plain loops
};

// All legal shapes and parameters of an op, for the random differential tests: a point of it is one
// integer per axis.
struct CaseSpace {
  struct Axis {
    std::string name;        // "stride"
    std::int64_t low, high;  // both included; shrinking goes towards `low`
  };
  std::vector<Axis> axes;
  // nullopt: the front door would refuse this point.
  std::optional<Case> (*make)(std::span<const std::int64_t> point) = nullptr;
};

// An op as the drivers see it.
struct OpEntry {
  std::string_view name;
  std::vector<Case> (*cases)();
  // What that backend takes on that device in this build; empty when there is no such backend.
  DTypes (*dtypes)(Backend, Device);
  // Its f32 kernels for `hand` and `vendor` obey float32_precision().
  bool tensor_cores = false;
  CaseSpace (*space)() = nullptr;  // null: only the listed cases
};

template <typename Op>
OpEntry op_entry() {
  OpEntry entry{Op::kName, &Op::cases, [](Backend backend, Device device) {
                  const Op* table = Backends<Op>::get().find(backend, device);
                  return table != nullptr ? table->dtypes : DTypes{};
                }};
  if constexpr (requires { Op::kTensorCores; }) entry.tensor_cores = Op::kTensorCores;
  if constexpr (requires { &Op::space; }) entry.space = &Op::space;
  return entry;
}

}  // namespace cucina
