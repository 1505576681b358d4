// Operands, warm-up and samples of the benchmarks.
#include "kernels/drivers/timing.h"

#include <algorithm>
#include <chrono>
#include <cmath>

#include "core/cuda_runtime.h"
#include "core/error.h"
#include "core/memory.h"
#include "kernels/drivers/operands.h"

namespace cucina::drivers {
namespace {

constexpr std::uint64_t kSeed = 20240917;
constexpr std::size_t kAlignment = 256;

std::int64_t elements_of(const Case& c) {
  std::int64_t most = 0;
  for (const Call& call : c.calls) {
    std::int64_t elements = 0;
    for (const Operand& operand : call.inputs) elements += operand.shape.elements();
    most = std::max(most, elements);
  }
  return most;
}

// Random values of an operand, over and over where they are fewer than it has.
struct Drawn {
  Tensor values;
  Shape shape;
};

constexpr std::int64_t kDrawn = 1 << 18;

Drawn draw(Operand operand, DType dtype, std::uint64_t seed) {
  const Shape shape = operand.shape;
  if (shape.elements() > kDrawn) {
    operand.shape = {kDrawn};
    if (operand.fill == Fill::distinct) operand.fill = Fill::uniform;
  }
  return {make_input(operand, dtype, seed), shape};
}

void fill(const Tensor& x, const Tensor& values) {
  auto* const bytes = static_cast<std::byte*>(x.raw());
  copy_bytes(bytes, x.device(), values.raw(), values.device(), values.bytes());
  for (std::size_t done = values.bytes(); done < x.bytes(); done *= 2)
    copy_bytes(bytes + done, x.device(), bytes, x.device(), std::min(done, x.bytes() - done));
}

std::vector<Drawn> draw_inputs(const Call& call, DType dtype) {
  std::vector<Drawn> drawn;
  for (const Operand& operand : call.inputs)
    drawn.push_back(draw(operand, dtype, kSeed + drawn.size()));
  if (!call.prepare) return drawn;
  Tensors whole;
  for (const Drawn& each : drawn) {
    whole.push_back(Tensor::empty(each.shape, each.values.dtype()));
    fill(whole.back(), each.values);
  }
  call.prepare(whole);
  for (std::size_t i = 0; i < drawn.size(); ++i) drawn[i].values = whole[i];
  return drawn;
}

// The input that an output is, or -1.
int updated_input(const Call& call, const Operand& output, DType dtype) {
  for (std::size_t i = 0; i < call.inputs.size(); ++i) {
    const Operand& input = call.inputs[i];
    if (input.name == output.name && input.shape == output.shape &&
        input.dtype_in(dtype) == output.dtype_in(dtype))
      return static_cast<int>(i);
  }
  return -1;
}

std::size_t padded(std::size_t bytes) { return (bytes + kAlignment - 1) / kAlignment * kAlignment; }

double now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

// A call captured into a graph that goes through all sets, or through enough of them.
class Replayed {
 public:
  Replayed(Repeated& repeated, std::int64_t steps)
      : steps_(steps), graph_([&] {
          for (std::int64_t i = 0; i < steps; ++i) repeated.step();
        }) {}

  double seconds_per_step() {
    const double all = gpu_seconds(Stream::current(Device::cuda), [&] { graph_.launch(); });
    return all / static_cast<double>(steps_);
  }

 private:
  std::int64_t steps_;
  CudaGraph graph_;
};

// One backend while it is timed: a sample is the mean of `steps` calls.
struct Runner {
  Repeated repeated;
  Samples samples;
  std::int64_t steps = 1;
  double spent = 0;
  std::unique_ptr<Replayed> replayed = nullptr;

  double sample() {
    const double seconds = replayed != nullptr
                               ? replayed->seconds_per_step()
                               : repeated.seconds(steps) / static_cast<double>(steps);
    spent += seconds * static_cast<double>(steps);
    return seconds;
  }
};

// Runs until five samples differ little from the five before, on clocks, caches and pools that have
// settled; then chooses how many calls make a sample that a clock resolves.
void warm_up(Runner& runner, Device device, std::size_t sets) {
  const double kLeast = device == Device::cuda ? 0.01 : 0.02;
  constexpr double kMost = 0.3;
  constexpr double kResolved = 50e-6;
  double once = runner.repeated.seconds(1);
  if (once > kMost) return;
  const double start = now();
  std::vector<double> before, recent;
  while (now() - start < kMost) {
    recent.push_back(once = runner.repeated.seconds(1));
    if (recent.size() < 5) continue;
    if (!before.empty() && now() - start > kLeast &&
        std::fabs(quartiles(recent).median / quartiles(before).median - 1) < 0.05)
      break;
    before = std::move(recent);
    recent.clear();
  }
  runner.steps = std::clamp<std::int64_t>(std::llround(kResolved / std::max(once, 1e-9)), 1, 1024);
  if (device == Device::cpu) return;
  // Once through all sets, and long enough that launching the graph does not show.
  constexpr double kGraph = 1.5e-3;
  runner.steps = std::clamp<std::int64_t>(std::llround(kGraph / std::max(once, 1e-9)), 1, 1024);
  runner.steps = std::max(runner.steps, static_cast<std::int64_t>(sets));
  try {
    runner.replayed = std::make_unique<Replayed>(runner.repeated, runner.steps);
    runner.replayed->seconds_per_step();
    runner.samples.graph = true;
  } catch (const Error&) {  // it waits for the host: timed without a graph, and the report says so
    runner.replayed.reset();
  }
}

bool is_enough(const Runner& runner, const TimingOptions& options) {
  constexpr std::size_t kLeast = 7, kLeastWhenSlow = 3, kMost = 2000;
  const std::size_t n = runner.samples.seconds.size();
  if (n >= kMost) return true;
  if (runner.spent >= options.max_seconds) return n >= kLeastWhenSlow;
  return runner.spent >= options.min_seconds && n >= kLeast;
}

}  // namespace

std::vector<Case> timed_cases(const OpEntry& room, Device device) {
  std::vector<Case> timed;
  std::vector<Case> all = room.cases();
  for (const Case& c : all) {
    if (c.timed == Timed::everywhere || (c.timed == Timed::gpu && device == Device::cuda))
      timed.push_back(c);
  }
  if (!timed.empty()) return timed;
  const auto largest = std::max_element(all.begin(), all.end(), [](const Case& a, const Case& b) {
    return (a.checked ? elements_of(a) : -1) < (b.checked ? elements_of(b) : -1);
  });
  if (largest != all.end()) timed.push_back(*largest);
  return timed;
}

OperandSets::OperandSets(const Call& call, Device device, DType dtype, std::size_t cache_bytes) {
  const std::vector<Drawn> in = draw_inputs(call, dtype);
  std::vector<int> updated;
  std::size_t bytes = 0;
  for (const auto& [values, shape] : in)
    bytes += padded(static_cast<std::size_t>(shape.elements()) * size_of(values.dtype()));
  for (const Operand& operand : call.outputs) {
    updated.push_back(updated_input(call, operand, dtype));
    if (updated.back() >= 0) continue;
    bytes += padded(static_cast<std::size_t>(operand.shape.elements()) *
                    size_of(operand.dtype_in(dtype)));
  }
  const std::size_t wanted = cache_bytes + cache_bytes / 2;
  const std::size_t count =
      bytes == 0 ? 1 : std::clamp<std::size_t>((wanted + bytes - 1) / bytes, 1, kMost);
  cold_ = count * bytes >= wanted;
  const auto arena = Storage::allocate(count * bytes, device);
  std::size_t at = 0;
  const auto place = [&](const Shape& shape, DType own) {
    Tensor x = Tensor::over(arena, at, shape, own);
    at += padded(x.bytes());
    return x;
  };
  for (std::size_t s = 0; s < count; ++s) {
    Set set;
    for (const auto& [values, shape] : in) {
      set.in.push_back(place(shape, values.dtype()));
      fill(set.in.back(), s == 0 ? values : sets_.front().in[set.in.size() - 1]);
    }
    for (std::size_t i = 0; i < call.outputs.size(); ++i) {
      if (updated[i] >= 0) {
        set.out.push_back(set.in[static_cast<std::size_t>(updated[i])]);
        continue;
      }
      const Operand& operand = call.outputs[i];
      set.out.push_back(place(operand.shape, operand.dtype_in(dtype)));
      zero_bytes(set.out.back().raw(), device, set.out.back().bytes());
    }
    sets_.push_back(std::move(set));
  }
}

const OperandSets::Set& OperandSets::next() {
  const Set& set = sets_[at_];
  at_ = (at_ + 1) % sets_.size();
  return set;
}

bool Repeated::step() {
  const OperandSets::Set& set = sets_.next();
  return call_.run(backend_, device_, format_.dtype, set.in, set.out, Write::overwrite);
}

double Repeated::seconds(std::int64_t steps) {
  const ScopedPrecision precision(format_.precision);
  const auto all = [&] {
    for (std::int64_t i = 0; i < steps; ++i) step();
  };
  if (device_ == Device::cuda)
    return cuda_runtime()->seconds(Stream::current(Device::cuda).native(), all);
  const double start = now();
  all();
  return now() - start;
}

std::vector<Samples> time_call(const Call& call, Device device, Format format,
                               std::span<const Backend> backends, const TimingOptions& options) {
  const ScopedPrecision precision(format.precision);
  OperandSets sets(call, device, format.dtype, options.cache_bytes);
  std::vector<Runner> runners;
  const auto stopped = [&] { return options.stop && options.stop(); };
  for (const Backend backend : backends) {
    Runner runner{.repeated = Repeated(call, backend, device, format, sets),
                  .samples = {.backend = backend, .seconds = {}, .cold = sets.cold()}};
    if (stopped()) return {};
    if (!runner.repeated.step()) continue;
    warm_up(runner, device, sets.size());
    runners.push_back(std::move(runner));
  }
  constexpr double kTurns = 5;
  for (bool going = true; going;) {
    going = false;
    for (Runner& runner : runners) {
      const double until = runner.spent + options.min_seconds / kTurns;
      while (!is_enough(runner, options)) {
        if (stopped()) return {};
        runner.samples.seconds.push_back(runner.sample());
        if (runner.spent < until) continue;
        going = true;
        break;
      }
    }
  }
  std::vector<Samples> all;
  for (Runner& runner : runners) all.push_back(std::move(runner.samples));
  return all;
}

Quartiles quartiles(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  const auto at = [&](double share) {
    const double place = share * static_cast<double>(values.size() - 1);
    const auto below = static_cast<std::size_t>(place);
    const std::size_t above = std::min(below + 1, values.size() - 1);
    return std::lerp(values[below], values[above], place - static_cast<double>(below));
  };
  return {.low = at(0.25), .median = at(0.5), .high = at(0.75)};
}

}  // namespace cucina::drivers
