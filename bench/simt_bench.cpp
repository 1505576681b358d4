// What the host executor costs: a register-tiled SGEMM, a barrier, threads that never wait, a map.
#include <benchmark/benchmark.h>

#include <random>
#include <vector>

#include "kernels/simt/map.h"
#include "kernels/simt/options.h"
#include "kernels/simt/simt.h"

namespace cucina {
namespace {

constexpr int kTile = 64;      // of c, per block
constexpr int kDepth = 16;     // of a and b, per step
constexpr int kPerThread = 4;  // rows and columns of c

// c (n x n) = a b; 16 x 16 threads, each 4 x 4 elements in registers.
__global__ void __launch_bounds__(256)
    register_tiled_kernel(const float* a, const float* b, float* c, int n) {
  __shared__ float a_tile[kDepth][kTile + 1];
  __shared__ float b_tile[kDepth][kTile];
  const int row = static_cast<int>(blockIdx.y) * kTile;
  const int column = static_cast<int>(blockIdx.x) * kTile;
  const int thread = static_cast<int>(threadIdx.y * blockDim.x + threadIdx.x);
  float sum[kPerThread][kPerThread] = {};
  for (int k0 = 0; k0 < n; k0 += kDepth) {
    for (int i = thread; i < kTile * kDepth; i += 256) {
      a_tile[i % kDepth][i / kDepth] = a[(row + i / kDepth) * n + k0 + i % kDepth];
      b_tile[i / kTile][i % kTile] = b[(k0 + i / kTile) * n + column + i % kTile];
    }
    __syncthreads();
    for (int k = 0; k < kDepth; ++k) {
      float a_part[kPerThread];
      float b_part[kPerThread];
      for (int i = 0; i < kPerThread; ++i) a_part[i] = a_tile[k][threadIdx.y * kPerThread + i];
      for (int j = 0; j < kPerThread; ++j) b_part[j] = b_tile[k][threadIdx.x * kPerThread + j];
      for (int i = 0; i < kPerThread; ++i) {
        for (int j = 0; j < kPerThread; ++j) sum[i][j] = fmaf(a_part[i], b_part[j], sum[i][j]);
      }
    }
    __syncthreads();  // the tiles are about to be overwritten
  }
  for (int i = 0; i < kPerThread; ++i) {
    for (int j = 0; j < kPerThread; ++j) {
      c[(row + threadIdx.y * kPerThread + i) * n + column + threadIdx.x * kPerThread + j] =
          sum[i][j];
    }
  }
}

__global__ void barriers_kernel(int count) {
  for (int i = 0; i < count; ++i) __syncthreads();
}

__global__ void shuffles_kernel(float* out, int count) {
  float x = static_cast<float>(threadIdx.x);
  for (int i = 0; i < count; ++i) x += __shfl_xor_sync(0xffffffffu, x, 1);
  if (x < 0) *out = x;
}

__global__ void scale_kernel(const float* x, float* y, int n) {
  const int i = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  if (i < n) y[i] = 2.0f * x[i];
}

struct Scale {
  const float* x;
  float* y;
  __device__ void operator()(std::int64_t i) const { y[i] = 2.0f * x[i]; }
};

std::vector<float> uniform(std::size_t n, unsigned seed) {
  std::mt19937 random(seed);
  std::uniform_real_distribution<float> between(-1.0f, 1.0f);
  std::vector<float> values(n);
  for (float& value : values) value = between(random);
  return values;
}

void sgemm(benchmark::State& state) {
  const int n = static_cast<int>(state.range(0));
  const std::vector<float> a = uniform(static_cast<std::size_t>(n) * n, 1);
  const std::vector<float> b = uniform(a.size(), 2);
  std::vector<float> c(a.size());
  const unsigned tiles = static_cast<unsigned>(n / kTile);
  for (auto _ : state) {
    simt::launch("bench.sgemm", register_tiled_kernel, {.grid = {tiles, tiles}, .block = {16, 16}},
                 a.data(), b.data(), c.data(), n);
    benchmark::DoNotOptimize(c.data());
  }
  state.counters["flop/s"] =
      benchmark::Counter(2.0 * n * n * n, benchmark::Counter::kIsIterationInvariantRate);
}
BENCHMARK(sgemm)->Arg(256)->Arg(512)->Arg(1024)->UseRealTime();

// One block, so one OS thread; the counter is seconds per thread and barrier.
void barrier(benchmark::State& state) {
  constexpr int kBarriers = 1000;
  const unsigned threads = static_cast<unsigned>(state.range(0));
  for (auto _ : state) {
    simt::launch("bench.barrier", barriers_kernel, {.grid = {1}, .block = {threads}}, kBarriers);
  }
  state.counters["s/thread"] = benchmark::Counter(
      static_cast<double>(threads) * kBarriers,
      benchmark::Counter::kIsIterationInvariantRate | benchmark::Counter::kInvert);
}
BENCHMARK(barrier)->Arg(32)->Arg(256)->Arg(1024)->UseRealTime();

void shuffle(benchmark::State& state) {
  constexpr int kShuffles = 1000;
  const unsigned threads = static_cast<unsigned>(state.range(0));
  float out = 0;
  for (auto _ : state) {
    simt::launch("bench.shuffle", shuffles_kernel, {.grid = {1}, .block = {threads}}, &out,
                 kShuffles);
  }
  state.counters["s/thread"] = benchmark::Counter(
      static_cast<double>(threads) * kShuffles,
      benchmark::Counter::kIsIterationInvariantRate | benchmark::Counter::kInvert);
}
BENCHMARK(shuffle)->Arg(32)->Arg(256)->UseRealTime();

void elementwise_kernel(benchmark::State& state) {
  const int n = static_cast<int>(state.range(0));
  const std::vector<float> x = uniform(static_cast<std::size_t>(n), 3);
  std::vector<float> y(x.size());
  for (auto _ : state) {
    simt::launch("bench.elementwise", scale_kernel,
                 {.grid = {static_cast<unsigned>((n + 255) / 256)}, .block = {256}}, x.data(),
                 y.data(), n);
    benchmark::DoNotOptimize(y.data());
  }
  state.SetItemsProcessed(state.iterations() * n);
}
BENCHMARK(elementwise_kernel)->Arg(1 << 16)->Arg(1 << 20)->UseRealTime();

void elementwise_map(benchmark::State& state) {
  const int n = static_cast<int>(state.range(0));
  const std::vector<float> x = uniform(static_cast<std::size_t>(n), 3);
  std::vector<float> y(x.size());
  for (auto _ : state) {
    simt::map("bench.map", Stream(), n, Scale{x.data(), y.data()});
    benchmark::DoNotOptimize(y.data());
  }
  state.SetItemsProcessed(state.iterations() * n);
}
BENCHMARK(elementwise_map)->Arg(1 << 10)->Arg(1 << 16)->Arg(1 << 20)->UseRealTime();

}  // namespace
}  // namespace cucina

BENCHMARK_MAIN();
