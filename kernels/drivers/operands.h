// Inputs and guarded outputs for the drivers that run every case of every room.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "kernels/common/case.h"

namespace cucina::drivers {

// Fills an operand on the cpu; the same (operand, seed) gives the same values, all representable in
// f32.
Tensor make_input(const Operand& operand, DType dtype, std::uint64_t seed);
Tensors make_inputs(const std::vector<Operand>& operands, DType dtype, std::uint64_t seed);

// All tensors on `device`; floating-point ones in the dtype they have where the case runs in
// `dtype`.
Tensors convert(const std::vector<Operand>& operands, const Tensors& tensors, DType dtype,
                Device device);

// An output between two canaries.
class GuardedOutput {
 public:
  GuardedOutput(const Operand& operand, DType dtype, Device device);

  const Tensor& tensor() const { return tensor_; }
  // Every byte 0xFF: NaN as f32, f64 or bf16, 255 as u8, -1 as i32.
  void poison() const;
  // "": both canaries are alive; else which died and where.
  std::string canaries() const;

 private:
  std::shared_ptr<Storage> storage_;
  Tensor tensor_;
};

// "" when equal within `tolerance`, else a sentence with the worst element. Integers must be equal;
// floats are judged by
// ||out - expected|| / ||expected||, and NaN, Inf and -Inf must stand in the same places.
std::string compare(const Tensor& out, const Tensor& expected, double tolerance);

// ||out - expected|| / ||expected|| over the finite elements of `expected`; of the same size.
double relative_error(const Tensor& out, const Tensor& expected);

// The raw bytes, on the host.
std::vector<std::byte> bytes_of(const Tensor& tensor);

}  // namespace cucina::drivers
