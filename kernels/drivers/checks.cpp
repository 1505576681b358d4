// The checks behind every room's tests.
#include "kernels/drivers/checks.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "core/autograd.h"
#include "core/error.h"
#include "core/random.h"
#include "kernels/drivers/operands.h"
#include "kernels/simt/options.h"

namespace cucina::drivers {
namespace {

constexpr std::uint64_t kSeed = 20240917;
constexpr std::array kSchedules{simt::Schedule::forward, simt::Schedule::reverse,
                                simt::Schedule::shuffled};

// f32: about 80 ulp in the norm, room for sums of thousands of terms in any order. f64 likewise.
// tf32 and bf16: a few roundings to 10 and 7 bits of mantissa.
double tolerance(Format format) {
  if (format.precision == Precision::tf32) return 1e-3;
  switch (format.dtype) {
    case DType::f64:
      return 1e-12;
    case DType::bf16:
      return 1e-2;
    default:
      return 1e-5;
  }
}

Tensors prepared_inputs(const Call& call, DType dtype) {
  Tensors in = make_inputs(call.inputs, dtype, kSeed);
  if (call.prepare) call.prepare(in);
  return in;
}

std::vector<GuardedOutput> guarded_outputs(const Call& call, DType dtype, Device device) {
  std::vector<GuardedOutput> outputs;
  for (const Operand& operand : call.outputs) outputs.emplace_back(operand, dtype, device);
  return outputs;
}

Tensors tensors_of(const std::vector<GuardedOutput>& outputs) {
  Tensors tensors;
  for (const GuardedOutput& output : outputs) tensors.push_back(output.tensor());
  return tensors;
}

// What the definition of right gives for these inputs, computed in f64.
Tensors expected_outputs(const Call& call, const Tensors& in) {
  Tensors out;
  for (const Operand& operand : call.outputs) {
    out.push_back(Tensor::empty(operand.shape, operand.dtype.value_or(DType::f64)));
  }
  const Tensors wide = convert(call.inputs, in, DType::f64, Device::cpu);
  if (!call.run(Backend::reference, Device::cpu, DType::f64, wide, out, Write::overwrite)) {
    fail("the reference has no entry for f64");
  }
  return out;
}

std::string check_call(const Call& call, Backend backend, Device device, Format format,
                       Write write) {
  const DType dtype = format.dtype;
  const ScopedPrecision precision(format.precision);
  const Tensors in = prepared_inputs(call, dtype);
  const Tensors expected = expected_outputs(call, in);
  const Tensors on_device = convert(call.inputs, in, dtype, device);
  const std::vector<GuardedOutput> outputs = guarded_outputs(call, dtype, device);
  Tensors base;
  for (std::size_t i = 0; i < outputs.size(); ++i) {
    base.push_back(make_input({"base", call.outputs[i].shape}, dtype, kSeed + 100 + i)
                       .to(outputs[i].tensor().dtype()));
    if (write == Write::accumulate) {
      outputs[i].tensor().copy_from(base[i]);
    } else {
      outputs[i].poison();
    }
  }
  if (!call.run(backend, device, dtype, on_device, tensors_of(outputs), write)) {
    return backend == Backend::vendor ? "" : "this backend lacks the entry";
  }
  for (std::size_t i = 0; i < outputs.size(); ++i) {
    const std::string where = fmt::format("output {}: ", call.outputs[i].name);
    if (const std::string dead = outputs[i].canaries(); !dead.empty()) return where + dead;
    Tensor right = expected[i];
    if (write == Write::accumulate) {
      std::vector<double> sum = expected[i].to_vector<double>();
      const std::vector<double> from = base[i].to_vector<double>();
      for (std::size_t j = 0; j < sum.size(); ++j) sum[j] += from[j];
      right = Tensor::from(sum, expected[i].shape());
    }
    if (const std::string bad = compare(outputs[i].tensor(), right, tolerance(format));
        !bad.empty()) {
      return where + bad;
    }
  }
  for (std::size_t i = 0; i < in.size(); ++i) {
    const Tensor before = convert({call.inputs[i]}, {in[i]}, dtype, Device::cpu)[0];
    if (bytes_of(on_device[i]) != bytes_of(before)) {
      return fmt::format("input {} was written to", call.inputs[i].name);
    }
  }
  return "";
}

// Sets one random element of a floating-point input before `prepare` sees it. False where that is
// not to be: the input is empty, integers, or made by `prepare`.
bool plant(const Call& call, Tensors& in, std::size_t input, float value) {
  in = make_inputs(call.inputs, DType::f32, kSeed);
  Tensor& x = in[input];
  if (x.dtype() != DType::f32 || x.elements() == 0) return false;
  const auto at = RandomStream(kSeed, call.inputs[input].name)
                      .below(0, input, static_cast<std::uint64_t>(x.elements()));
  x.data<float>()[at] = value;
  if (call.prepare) call.prepare(in);
  const float after = in[input].data<float>()[at];
  return after == value || (std::isnan(after) && std::isnan(value));
}

// "" when every NaN or Inf of `expected` is one of `out`, too.
std::string find_vanished(const Tensor& out, const Tensor& expected) {
  const std::vector<double> a = out.to_vector<double>();
  const std::vector<double> b = expected.to_vector<double>();
  for (std::size_t i = 0; i < b.size(); ++i) {
    if (std::isfinite(a[i]) && !std::isfinite(b[i])) {
      return fmt::format("element {} of {} is {}, expected {}", i, to_string(out.shape()), a[i],
                         b[i]);
    }
  }
  return "";
}

std::string check_planted(const Call& call, const Tensors& in, bool spreads) {
  const Tensors expected = expected_outputs(call, in);
  const std::vector<GuardedOutput> outputs = guarded_outputs(call, DType::f32, Device::cpu);
  for (const GuardedOutput& output : outputs) output.poison();
  if (!call.run(Backend::hand, Device::cpu, DType::f32, in, tensors_of(outputs),
                Write::overwrite)) {
    return "hand lacks the entry";
  }
  for (std::size_t i = 0; i < outputs.size(); ++i) {
    const Tensor& out = outputs[i].tensor();
    const std::string bad =
        spreads ? find_vanished(out, expected[i])
                : compare(out, expected[i], tolerance({DType::f32, Precision::f32}));
    if (!bad.empty()) return fmt::format("output {}: {}", call.outputs[i].name, bad);
  }
  return "";
}

double objective(const Case& c, const Tensors& in, const std::vector<double>& weights) {
  const std::vector<double> y = c.function(in).to_vector<double>();
  long double sum = 0;
  for (std::size_t i = 0; i < y.size(); ++i) sum += static_cast<long double>(y[i]) * weights[i];
  return static_cast<double>(sum);
}

// Central difference of the objective along one element.
double difference_quotient(const Case& c, const Tensors& in, std::size_t input,
                           std::int64_t element, const std::vector<double>& weights) {
  constexpr double kStep = 1e-5;  // truncation ~ step^2, rounding ~ 1e-16 / step: both near 1e-10
  double* x = in[input].data<double>() + element;
  const double before = *x;
  *x = before + kStep;
  const double up = objective(c, in, weights);
  *x = before - kStep;
  const double down = objective(c, in, weights);
  *x = before;
  return (up - down) / (2 * kStep);
}

}  // namespace

std::string_view name(Format format) {
  return format.precision == Precision::tf32 ? name(format.precision) : name(format.dtype);
}

std::vector<Format> formats(const OpEntry& room, Backend backend, Device device) {
  std::vector<Format> list;
  for (const DType dtype : {DType::f32, DType::f64, DType::bf16}) {
    if (room.dtypes(backend, device).contains(dtype)) list.push_back({dtype, Precision::f32});
  }
  // oneDNN has no tf32, the reference is exact.
  const bool has_tf32 = backend == Backend::hand || device == Device::cuda;
  if (room.tensor_cores && has_tf32 && room.dtypes(backend, device).contains(DType::f32)) {
    list.push_back({DType::f32, Precision::tf32});
  }
  return list;
}

double least_bytes(const Call& call, DType dtype) {
  if (call.bytes) return call.bytes(dtype);
  double bytes = 0;
  for (const auto* operands : {&call.inputs, &call.outputs}) {
    for (const Operand& operand : *operands) {
      const DType own = operand.fill == Fill::labels  ? DType::i32
                        : operand.fill == Fill::bytes ? DType::u8
                                                      : operand.dtype_in(dtype);
      bytes += static_cast<double>(operand.shape.elements()) * static_cast<double>(size_of(own));
    }
  }
  return bytes;
}

std::int64_t input_elements(const Case& c) {
  std::int64_t elements = 0;
  for (const Call& call : c.calls) {
    for (const Operand& operand : call.inputs) elements += operand.shape.elements();
  }
  return elements;
}

Bits hand_bits(const Call& call, Device device, Format format) {
  const DType dtype = format.dtype;
  const ScopedPrecision precision(format.precision);
  const Tensors in = convert(call.inputs, prepared_inputs(call, dtype), dtype, device);
  const std::vector<GuardedOutput> outputs = guarded_outputs(call, dtype, device);
  for (const GuardedOutput& output : outputs) output.poison();
  if (!call.run(Backend::hand, device, dtype, in, tensors_of(outputs), Write::overwrite)) {
    fail("{}: hand lacks the entry", call.entry);
  }
  Bits bits;
  for (const GuardedOutput& output : outputs) bits.push_back(bytes_of(output.tensor()));
  return bits;
}

std::string check_agreement(const Case& c, Backend backend, Device device, Format format) {
  for (const Call& call : c.calls) {
    for (const Write write : {Write::overwrite, Write::accumulate}) {
      if (write == Write::accumulate && !call.accumulates) continue;
      const std::string bad = check_call(call, backend, device, format, write);
      if (!bad.empty()) {
        return fmt::format("{}{}: {}", call.entry,
                           write == Write::accumulate ? " (accumulate)" : "", bad);
      }
    }
  }
  return "";
}

GradientCheck check_gradient(const Case& c) {
  constexpr std::int64_t kSample = 24;  // elements per input
  GradientCheck result;
  const ScopedBackend hand(Backend::hand);
  Tensors in = make_inputs(c.inputs, DType::f64, kSeed);
  for (Tensor& x : in) {
    if (x.dtype() == DType::f64) x.set_requires_grad(true);
  }
  const Tensor y = c.function(in);
  const Tensor seed = make_input({"seed", y.shape()}, DType::f64, kSeed + 50);
  if (y.elements() == 0) return result;
  backward(y, {}, seed);
  const std::vector<double> weights = seed.to_vector<double>();
  const NoGrad no_grad;
  for (std::size_t i = 0; i < in.size(); ++i) {
    if (in[i].dtype() != DType::f64 || in[i].elements() == 0) continue;
    if (!in[i].grad().defined()) {
      result.failure = fmt::format("input {} got no gradient", c.inputs[i].name);
      return result;
    }
    const std::vector<double> gradient = in[i].grad().to_vector<double>();
    double scale = 0;
    for (const double g : gradient) scale = std::max(scale, std::fabs(g));
    const auto order = permutation(RandomStream(kSeed, "sample"), 0, in[i].elements());
    for (std::int64_t k = 0; k < std::min(kSample, in[i].elements()); ++k) {
      const std::int64_t element = order[static_cast<std::size_t>(k)];
      const double numeric = difference_quotient(c, in, i, element, weights);
      const double analytic = gradient[static_cast<std::size_t>(element)];
      // Small elements of a large gradient are judged by the gradient's size: their difference
      // quotient is rounding.
      const double size = std::max({std::fabs(numeric), std::fabs(analytic), 1e-2 * scale, 1e-3});
      const double error = std::fabs(numeric - analytic) / size;
      if (!(error <= result.worst)) {  // this way round NaN counts
        result.worst = error;
        result.worst_input = c.inputs[i].name;
      }
      if (!(error <= kGradientTolerance) && result.failure.empty()) {
        result.failure =
            fmt::format("gradient of {} {} at element {}: backward says {}, differences say {}",
                        c.inputs[i].name, to_string(in[i].shape()), element, analytic, numeric);
      }
    }
  }
  return result;
}

std::string check_nonfinite(const Case& c) {
  constexpr std::array kPlanted{std::numeric_limits<float>::quiet_NaN(),
                                std::numeric_limits<float>::infinity()};
  const ScopedPrecision exact(Precision::f32);
  for (const Call& call : c.calls) {
    for (std::size_t i = 0; i < call.inputs.size(); ++i) {
      for (const float value : kPlanted) {
        Tensors in;
        if (!plant(call, in, i, value)) continue;
        const std::string bad = check_planted(call, in, call.inputs[i].spreads);
        if (!bad.empty()) {
          return fmt::format("{} with one {} in {}: {}", call.entry, value, call.inputs[i].name,
                             bad);
        }
      }
    }
  }
  return "";
}

std::string check_schedules(const Case& c, Format format) {
  for (const Call& call : c.calls) {
    const auto plain = hand_bits(call, Device::cpu, format);
    for (const simt::Schedule schedule : kSchedules) {
      const simt::ScopedOptions options(
          {.schedule = schedule, .seed = kSeed, .poison_shared = true, .detect_races = false});
      if (hand_bits(call, Device::cpu, format) != plain) {
        return fmt::format("{}: other bits under schedule {}", call.entry,
                           static_cast<int>(schedule));
      }
    }
  }
  return "";
}

std::string check_races(const Case& c, Format format) {
  for (const Call& call : c.calls) {
    for (const simt::Schedule schedule : kSchedules) {
      const simt::ScopedOptions options(
          {.schedule = schedule, .seed = kSeed, .poison_shared = true, .detect_races = true});
      hand_bits(call, Device::cpu, format);  // throws simt::Report
    }
  }
  return "";
}

std::string check_same_bits(const Case& c, Format format) {
  for (const Call& call : c.calls) {
    if (hand_bits(call, Device::cpu, format) != hand_bits(call, Device::cuda, format)) {
      return fmt::format("{}: the GPU gives other bits than simt", call.entry);
    }
  }
  return "";
}

}  // namespace cucina::drivers
