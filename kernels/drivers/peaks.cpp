// Measures a copy and multiply-adds on the host, and looks up what a GPU's maker states.
#include "kernels/drivers/peaks.h"

#include <fmt/format.h>
#include <omp.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstring>
#include <memory>

#include "core/cuda_runtime.h"
#include "core/memory.h"
#include "core/tensor.h"
#include "kernels/drivers/host_arithmetic.h"

namespace cucina::drivers {
namespace {

double seconds_of(const std::function<void()>& work) {
  const auto start = std::chrono::steady_clock::now();
  work();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

// The shortest of some repetitions: a peak is what nothing disturbed.
double best_seconds(int repetitions, const std::function<void()>& work) {
  work();
  double best = seconds_of(work);
  for (int i = 1; i < repetitions; ++i) best = std::min(best, seconds_of(work));
  return best;
}

std::size_t host_cache_bytes() {
  const long l2 = ::sysconf(_SC_LEVEL2_CACHE_SIZE), l3 = ::sysconf(_SC_LEVEL3_CACHE_SIZE);
  // A virtual machine may name the cache of a whole socket, of which it has a share.
  constexpr std::size_t kMost = std::size_t{256} << 20;
  const auto named = static_cast<std::size_t>(std::max({l2, l3, 0L}));
  return named == 0 ? std::size_t{32} << 20 : std::min(named, kMost);
}

// In pieces, each short enough that one of them is not interrupted, all over buffers that no cache
// holds.
double host_copy_rate(std::size_t cache_bytes) {
  constexpr std::size_t kPiece = std::size_t{8} << 20;
  constexpr std::size_t kLeast = std::size_t{128} << 20;
  const std::size_t pieces = std::max(cache_bytes, kLeast) / kPiece;
  const auto from = Storage::allocate(pieces * kPiece, Device::cpu);
  const auto to = Storage::allocate(pieces * kPiece, Device::cpu);
  std::memset(from->data(), 1, from->bytes());
  const auto copy = [&](std::size_t at) {
#pragma omp parallel
    {
      const auto threads = static_cast<std::size_t>(omp_get_num_threads());
      const auto thread = static_cast<std::size_t>(omp_get_thread_num());
      const std::size_t begin = at + kPiece / threads * thread;
      const std::size_t end = thread + 1 == threads ? at + kPiece : begin + kPiece / threads;
      std::memcpy(to->data() + begin, from->data() + begin, end - begin);
    }
  };
  double best = 0;
  for (int round = 0; round < 5; ++round) {
    for (std::size_t piece = 0; piece < pieces; ++piece) {
      const double seconds = seconds_of([&] { copy(piece * kPiece); });
      // The first round meets pages that the system has yet to hand out.
      if (round > 0) best = std::max(best, 2 * static_cast<double>(kPiece) / seconds);
    }
  }
  return best;
}

double host_flop_rate(double (*loop)(std::int64_t)) {
  constexpr std::int64_t kRounds = 1 << 17;
  double flops = 0;
  const double seconds = best_seconds(40, [&] {
    double all = 0;
#pragma omp parallel reduction(+ : all)
    all += loop(kRounds);
    flops = all;
  });
  return flops / seconds;
}

Peaks host_peaks() {
  Peaks peaks;
  peaks.cache_bytes = host_cache_bytes();
  peaks.copy = host_copy_rate(peaks.cache_bytes);
  peaks.f32 = peaks.tf32 = peaks.bf16 = host_flop_rate(&multiply_add_f32);
  peaks.f64 = host_flop_rate(&multiply_add_f64);
  peaks.how = fmt::format(
      "measured in this run with {} threads: memcpy, and multiply-adds in vector registers",
      omp_get_max_threads());
  return peaks;
}

// Floating-point operations a multiprocessor does in a clock.
struct PerClock {
  int capability;  // 10 major + minor
  double f32, f64, tf32, bf16;
};
constexpr std::array kPerClock{
    PerClock{80, 128, 64, 1024, 2048},   PerClock{86, 256, 4, 256, 512},
    PerClock{89, 256, 4, 512, 1024},     PerClock{90, 256, 128, 2048, 4096},
    PerClock{100, 256, 128, 4096, 8192},
};

double device_copy_rate(const CudaRuntime& cuda, std::size_t cache_bytes) {
  const std::size_t bytes = std::max(std::size_t{1} << 30, 8 * cache_bytes);
  const auto from = Storage::allocate(bytes, Device::cuda),
             to = Storage::allocate(bytes, Device::cuda);
  zero_bytes(from->data(), Device::cuda, bytes);
  void* const stream = Stream::current(Device::cuda).native();
  double best = 0;
  for (int i = 0; i < 10; ++i) {
    const double seconds =
        cuda.seconds(stream, [&] { cuda.copy(to->data(), from->data(), bytes, stream); });
    if (i > 0) best = std::max(best, 2 * static_cast<double>(bytes) / seconds);
  }
  return best;
}

// A graph of nodes that do next to nothing, per node.
double device_node_seconds(const CudaRuntime& cuda) {
  constexpr int kNodes = 200;
  const auto word = Storage::allocate(sizeof(int), Device::cuda);
  void* const stream = Stream::current(Device::cuda).native();
  const CudaGraph graph([&] {
    for (int i = 0; i < kNodes; ++i) cuda.zero(word->data(), sizeof(int), stream);
  });
  const auto launch = [&] { graph.launch(); };
  double best = cuda.seconds(stream, launch);
  for (int i = 0; i < 10; ++i) best = std::min(best, cuda.seconds(stream, launch));
  return best / kNodes;
}

Peaks device_peaks() {
  const CudaRuntime& cuda = *cuda_runtime();
  const CudaDeviceInfo info = cuda.device_info(0);
  Peaks peaks;
  peaks.cache_bytes = info.l2_bytes;
  peaks.copy = device_copy_rate(cuda, info.l2_bytes);
  peaks.start = device_node_seconds(cuda);
  const int capability = 10 * info.major + info.minor;
  const PerClock* rate = &kPerClock.front();  // the nearest one that is not newer
  for (const PerClock& each : kPerClock) {
    if (each.capability <= capability) rate = &each;
  }
  const double clocks = info.multiprocessors * info.hertz;
  peaks.f32 = rate->f32 * clocks;
  peaks.f64 = rate->f64 * clocks;
  peaks.tf32 = rate->tf32 * clocks;
  peaks.bf16 = rate->bf16 * clocks;
  peaks.how = fmt::format(
      "copy and graph node measured in this run; arithmetic as documented for compute capability "
      "{}.{}, {} multiprocessors at {:.0f} MHz",
      rate->capability / 10, rate->capability % 10, info.multiprocessors, info.hertz / 1e6);
  return peaks;
}

}  // namespace

double Peaks::flops(Format format) const {
  if (format.precision == Precision::tf32) return tf32;
  if (format.dtype == DType::f64) return f64;
  return format.dtype == DType::bf16 ? bf16 : f32;
}

std::size_t cache_bytes(Device device) {
  if (device == Device::cpu) return host_cache_bytes();
  require_cuda();
  return cuda_runtime()->device_info(0).l2_bytes;
}

Peaks measure_peaks(Device device) {
  if (device == Device::cpu) return host_peaks();
  require_cuda();
  return device_peaks();
}

Floor floor_of(const Call& call, Format format, const Peaks& peaks) {
  const double arithmetic = call.flops / peaks.flops(format);
  const double traffic = least_bytes(call, format.dtype) / peaks.copy;
  return {.seconds = std::max(arithmetic, traffic) + peaks.start,
          .by_arithmetic = arithmetic > traffic};
}

}  // namespace cucina::drivers
