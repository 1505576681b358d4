// Times training steps on request, for bench/train_step to set beside those of its peers.
#include <algorithm>
#include <ctime>
#include <fstream>
#include <iostream>
#include <nlohmann/json.hpp>
#include <numeric>
#include <string>
#include <vector>

#include "core/error.h"
#include "core/memory.h"
#include "core/random.h"
#include "kernels/common/precision.h"
#include "nn/models.h"
#include "recipe/skeleton/trainer.h"

namespace cucina {
namespace {

// Seconds by the wall, or that this process's threads were running.
double now(bool cpu_time) {
  timespec time{};
  clock_gettime(cpu_time ? CLOCK_PROCESS_CPUTIME_ID : CLOCK_MONOTONIC, &time);
  return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
}

// Images of noise: what they show does not change how long a step takes.
data::Dataset noise(std::int64_t side, std::int64_t channels, std::int64_t batch) {
  const RandomStream random(1, "bench");
  data::Dataset made;
  made.name = "noise";
  data::ImageSet& set = made.train;
  set.n = batch;
  set.h = set.w = side;
  set.c = channels;
  set.classes = 10;
  set.pixels.resize(static_cast<std::size_t>(batch) * set.image_bytes());
  for (std::size_t i = 0; i < set.pixels.size(); ++i)
    set.pixels[i] = static_cast<std::uint8_t>(random.uniform(0, i) * 256);
  for (std::int64_t i = 0; i < batch; ++i) set.labels.push_back(static_cast<std::int32_t>(i % 10));
  return made;
}

// "VmRSS" or "VmHWM" of this process, in bytes.
std::size_t resident(const std::string& field) {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with(field + ":")) return std::stoull(line.substr(field.size() + 1)) * 1024;
  }
  return 0;
}

// A GPU's steps are queued, so many of them for a sample; then the host waits.
constexpr int kQueued = 20;

// Samples in seconds of `step`, one after the other until `seconds` are over.
template <typename Step>
std::vector<double> run(double seconds, bool cpu_time, Device device, const Step& step) {
  std::vector<double> samples;
  const int steps = device == Device::cuda ? kQueued : 1;
  const double start = now(false);
  double last = now(cpu_time);
  do {
    for (int i = 0; i < steps; ++i) step();
    Stream::current(device).synchronize();
    const double time = now(cpu_time);
    samples.push_back((time - last) / steps);
    last = time;
  } while (now(false) - start < seconds);
  return samples;
}

void print(const nlohmann::json& line) { std::cout << line.dump() << std::endl; }

// A line for each line "SECONDS" on stdin, after a first one when all is ready.
void serve(const std::string& model_name, std::int64_t batch, const std::string& dtype,
           bool cpu_time, const std::string& where) {
  if (dtype != "f32" && dtype != "tf32" && dtype != "bf16")
    fail("train_step_bench: no steps in {}", dtype);
  if (dtype == "tf32") set_float32_precision(Precision::tf32);
  const Device device = where == "cpu" ? Device::cpu : Device::cuda;
  const bool gray = model_name == "lenet5" || model_name.starts_with("mnist");
  const data::Dataset data = gray ? noise(28, 1, batch) : noise(32, 3, batch);
  const std::size_t before = resident("VmRSS");
  nn::Model model = nn::make_model(model_name, data.train.h, data.train.w, data.train.c, 10, 1);
  // So low a rate that weights stay what they are: a batch learned by heart has gradients whose
  // squares are denormal numbers, which no training has and which take a hundred times as long.
  skeleton::Trainer trainer(model, data,
                            {.epochs = 1 << 30,
                             .batch_size = batch,
                             .learning_rate = 1e-12,
                             .dtype = dtype == "bf16" ? DType::bf16 : DType::f32,
                             .graph = where == "cuda",
                             .device = device});
  const data::Loader loader(data.train, trainer.statistics(), batch, device);
  const data::Batch images = loader.in_order(0);
  std::vector<std::int64_t> indices(static_cast<std::size_t>(batch));
  std::iota(indices.begin(), indices.end(), 0);
  // The graph of a step gathers its batch, too.
  const auto step = [&] { device == Device::cpu ? trainer.step(images) : trainer.step(indices); };
  run(0.2, cpu_time, device, step);  // primitives are created, memory is taken
  const MemoryStatistics warm = memory_statistics(device);
  step();
  const MemoryStatistics steady = memory_statistics(device);
  print({{"who", "cucina"},
         {"no_graph", trainer.graph_refusal()},
         {"parameters", nn::parameter_count(*model.net)},
         {"peak_bytes", steady.peak},
         {"resident_bytes", resident("VmHWM") - std::min(before, resident("VmHWM"))},
         {"blocks_per_step", steady.allocations - warm.allocations},
         {"allocations_per_step",
          steady.allocations - steady.cache_hits - warm.allocations + warm.cache_hits}});
  for (std::string line; std::getline(std::cin, line);)
    print({{"samples", run(std::stod(line), cpu_time, device, step)}});
}

}  // namespace
}  // namespace cucina

int main(int argc, char** argv) try {
  if (argc != 5 && argc != 6) {
    std::cerr
        << "usage: train_step_bench MODEL BATCH DTYPE wall|cpu [cpu|cuda|cuda-without-graph]; "
           "bench/train_step and tools/gpu_suite run it\n";
    return 2;
  }
  cucina::serve(argv[1], std::stoll(argv[2]), argv[3], std::string(argv[4]) == "cpu",
                argc == 6 ? argv[5] : "cpu");
  return 0;
} catch (const cucina::Error& error) {
  cucina::print({{"error", error.what()}});
  return 0;
}
