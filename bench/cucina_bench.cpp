// The timed cases of all ops under Google Benchmark: op/case/entry/dtype/backend/device. `cucina
// bench` times the same ones and judges them, too.
#include <benchmark/benchmark.h>
#include <fmt/format.h>

#include <memory>
#include <utility>

#include "core/cuda_runtime.h"
#include "kernels/drivers/peaks.h"
#include "kernels/drivers/timing.h"
#include "optim/all_rooms.h"

namespace cucina::drivers {
namespace {

struct Subject {
  std::shared_ptr<const Case> c;
  const Call* call;
  Backend backend;
  Device device;
  Format format;
};

// Google Benchmark calls a function anew for each number of iterations it tries, one function after
// the other: the operands of the last are kept.
OperandSets& operands_of(const Subject& subject) {
  static std::unique_ptr<OperandSets> sets;
  static std::pair<const Call*, DType> made_for{nullptr, DType::f32};
  const std::pair wanted{subject.call, subject.format.dtype};
  if (made_for != wanted) {
    sets.reset();
    sets = std::make_unique<OperandSets>(*subject.call, subject.device, subject.format.dtype,
                                         cache_bytes(subject.device));
    made_for = wanted;
  }
  return *sets;
}

void time_steps(benchmark::State& state, const Subject& subject) {
  const ScopedPrecision precision(subject.format.precision);
  OperandSets& sets = operands_of(subject);
  Repeated repeated(*subject.call, subject.backend, subject.device, subject.format, sets);
  if (!repeated.step()) {
    state.SkipWithError(fmt::format("{} has no such entry", name(subject.backend)).c_str());
    return;
  }
  for (auto _ : state) state.SetIterationTime(repeated.seconds(1));
  const auto steps = static_cast<double>(state.iterations());
  const double bytes = least_bytes(*subject.call, subject.format.dtype);
  state.SetBytesProcessed(static_cast<std::int64_t>(bytes * steps));
  state.counters["flop/s"] =
      benchmark::Counter(subject.call->flops, benchmark::Counter::kIsIterationInvariantRate);
  if (!sets.cold()) state.SetLabel("in cache");
}

void add(const OpEntry& op, const Case& c, Backend backend, Device device, Format format) {
  const auto shared = std::make_shared<const Case>(c);
  for (const Call& call : shared->calls) {
    const Subject subject{shared, &call, backend, device, format};
    benchmark::RegisterBenchmark(fmt::format("{}/{}/{}/{}/{}/{}", op.name, c.name, call.entry,
                                             name(format), name(backend), name(device))
                                     .c_str(),
                                 [subject](benchmark::State& state) { time_steps(state, subject); })
        ->UseManualTime()
        ->MinTime(0.1);
  }
}

void add_all(Device device) {
  for (const OpEntry& op : all_rooms()) {
    for (const Case& c : timed_cases(op, device)) {
      for (const Backend backend : {Backend::hand, Backend::vendor}) {
        for (const Format format : formats(op, backend, device)) {
          if (format.dtype != DType::f64) add(op, c, backend, device, format);
        }
      }
    }
  }
}

}  // namespace
}  // namespace cucina::drivers

int main(int argc, char** argv) {
  using cucina::Device;
  cucina::drivers::add_all(Device::cpu);
  if (cucina::cuda_available()) cucina::drivers::add_all(Device::cuda);
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 2;
  benchmark::RunSpecifiedBenchmarks();
  benchmark::Shutdown();
  return 0;
}
