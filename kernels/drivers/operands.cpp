// Random inputs, canaries and comparison.
#include "kernels/drivers/operands.h"

#include <cmath>
#include <cstring>

#include "core/error.h"
#include "core/random.h"

namespace cucina::drivers {
namespace {

constexpr std::size_t kGuard = 256;  // bytes on either side; a multiple of every vector width
constexpr std::byte kCanary{0xA5};

float value(const Operand& operand, const RandomStream& random, std::uint64_t i) {
  const float u = random.uniform(0, i);
  switch (operand.fill) {
    case Fill::uniform:
      return 2 * u - 1;
    case Fill::positive:
      return 0.5f + u;
    case Fill::away_from_zero:
      return u < 0.5f ? -0.25f - 1.5f * u : 0.25f + 1.5f * (u - 0.5f);
    case Fill::distinct:
    case Fill::labels:
    case Fill::bytes:
      break;
  }
  return 0;
}

bool is_integer(DType dtype) { return dtype == DType::i32 || dtype == DType::u8; }

}  // namespace

Tensor make_input(const Operand& operand, DType dtype, std::uint64_t seed) {
  const RandomStream random(seed, operand.name);
  const auto n = static_cast<std::size_t>(operand.shape.elements());
  if (operand.fill == Fill::labels) {
    std::vector<std::int32_t> labels(n);
    for (std::size_t i = 0; i < n; ++i) {
      labels[i] = static_cast<std::int32_t>(random.bits(0, i) %
                                            static_cast<std::uint32_t>(operand.classes));
    }
    return Tensor::from(labels, operand.shape);
  }
  if (operand.fill == Fill::bytes) {
    std::vector<std::uint8_t> bytes(n);
    for (std::size_t i = 0; i < n; ++i) bytes[i] = static_cast<std::uint8_t>(random.bits(0, i));
    return Tensor::from(bytes, operand.shape);
  }
  std::vector<float> values(n);
  for (std::size_t i = 0; i < n; ++i) values[i] = value(operand, random, i);
  if (operand.fill == Fill::distinct) {
    const auto order = permutation(random, 0, static_cast<std::int64_t>(n));
    for (std::size_t i = 0; i < n; ++i) {
      values[i] = 2 * static_cast<float>(order[i]) / static_cast<float>(n) - 1;
    }
  }
  return Tensor::from(values, operand.shape).to(operand.dtype_in(dtype));
}

Tensors make_inputs(const std::vector<Operand>& operands, DType dtype, std::uint64_t seed) {
  Tensors tensors;
  for (const Operand& operand : operands) {
    tensors.push_back(make_input(operand, dtype, seed + tensors.size()));
  }
  return tensors;
}

Tensors convert(const std::vector<Operand>& operands, const Tensors& tensors, DType dtype,
                Device device) {
  Tensors converted;
  for (std::size_t i = 0; i < tensors.size(); ++i) {
    const DType to =
        is_integer(tensors[i].dtype()) ? tensors[i].dtype() : operands[i].dtype_in(dtype);
    converted.push_back(tensors[i].to(to).to(device));
  }
  return converted;
}

GuardedOutput::GuardedOutput(const Operand& operand, DType dtype, Device device) {
  const DType own = operand.dtype_in(dtype);
  const auto bytes = static_cast<std::size_t>(operand.shape.elements()) * size_of(own);
  storage_ = Storage::allocate(bytes + 2 * kGuard, device);
  const std::vector<std::byte> fill(storage_->bytes(), kCanary);
  copy_bytes(storage_->data(), device, fill.data(), Device::cpu, fill.size());
  tensor_ = Tensor::over(storage_, kGuard, operand.shape, own);
}

void GuardedOutput::poison() const {
  const std::vector<std::byte> fill(tensor_.bytes(), std::byte{0xFF});
  copy_bytes(tensor_.raw(), tensor_.device(), fill.data(), Device::cpu, fill.size());
}

std::string GuardedOutput::canaries() const {
  std::vector<std::byte> all(storage_->bytes());
  copy_bytes(all.data(), Device::cpu, storage_->data(), storage_->device(), all.size());
  for (std::size_t i = 0; i < kGuard; ++i) {
    if (all[kGuard - 1 - i] != kCanary)
      return fmt::format("written {} bytes before its start", i + 1);
    if (all[all.size() - kGuard + i] != kCanary)
      return fmt::format("written {} bytes past its end", i + 1);
  }
  return "";
}

std::vector<std::byte> bytes_of(const Tensor& tensor) {
  std::vector<std::byte> bytes(tensor.bytes());
  copy_bytes(bytes.data(), Device::cpu, tensor.raw(), tensor.device(), bytes.size());
  return bytes;
}

double relative_error(const Tensor& out, const Tensor& expected) {
  const std::vector<double> a = out.to_vector<double>();
  const std::vector<double> b = expected.to_vector<double>();
  double difference = 0, norm = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    if (!std::isfinite(b[i])) continue;
    difference += (a[i] - b[i]) * (a[i] - b[i]);
    norm += b[i] * b[i];
  }
  return std::sqrt(difference) / (norm > 0 ? std::sqrt(norm) : 1);
}

std::string compare(const Tensor& out, const Tensor& expected, double tolerance) {
  const std::vector<double> a = out.to_vector<double>();
  const std::vector<double> b = expected.to_vector<double>();
  if (a.size() != b.size()) return fmt::format("{} elements, expected {}", a.size(), b.size());
  const bool exact = is_integer(out.dtype());
  double worst = -1;
  std::size_t at = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    const bool alike = std::isnan(b[i])   ? std::isnan(a[i])
                       : std::isinf(b[i]) ? a[i] == b[i]
                                          : std::isfinite(a[i]);
    if (!alike) {
      return fmt::format("element {} of {} is {}, expected {}", i, to_string(out.shape()), a[i],
                         b[i]);
    }
    if (!std::isfinite(b[i])) continue;
    const double d = std::fabs(a[i] - b[i]);
    if (d > worst) {
      worst = d;
      at = i;
    }
  }
  const double error = relative_error(out, expected);
  if (exact ? worst <= 0 : error <= tolerance) return "";
  return fmt::format(
      "relative error {:.3g} exceeds {:.1g}; worst at element {} of {}: {}, expected {}", error,
      exact ? 0 : tolerance, at, to_string(out.shape()), a[at], b[at]);
}

}  // namespace cucina::drivers
