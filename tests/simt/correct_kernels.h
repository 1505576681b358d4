// Five kernels of the usual kinds, all correct, and what they compute by plain loops: no schedule
// may change their bits and no check may complain.
#pragma once

#include <algorithm>
#include <cmath>
#include <functional>
#include <string>
#include <vector>

#include "kernels/simt/simt.h"

namespace cucina {
namespace {

// out[b] = sum of the block's elements: a tree in shared memory, finished by one warp with
// shuffles.
__global__ void block_sum_kernel(const float* x, float* out, int n) {
  __shared__ float partial[256];
  const int i = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  partial[threadIdx.x] = i < n ? x[i] : 0.0f;
  __syncthreads();
  for (unsigned half = 128; half >= 32; half /= 2) {
    if (threadIdx.x < half) partial[threadIdx.x] += partial[threadIdx.x + half];
    __syncthreads();
  }
  if (threadIdx.x < 32) {
    float sum = partial[threadIdx.x];
    for (int delta = 16; delta > 0; delta /= 2) sum += __shfl_down_sync(0xffffffffu, sum, delta);
    if (threadIdx.x == 0) out[blockIdx.x] = sum;
  }
}

// One row per block; the maximum by shuffles within a warp and shared memory between warps.
__global__ void softmax_kernel(const float* x, float* y, int columns) {
  __shared__ float of_warp[4];
  const float* row = x + static_cast<std::size_t>(blockIdx.x) * columns;
  const int thread = static_cast<int>(threadIdx.x);
  float largest = -INFINITY;
  for (int c = thread; c < columns; c += 128) largest = max(largest, row[c]);
  for (int m = 16; m > 0; m /= 2) largest = max(largest, __shfl_xor_sync(0xffffffffu, largest, m));
  if (thread % 32 == 0) of_warp[thread / 32] = largest;
  __syncthreads();
  largest = max(max(of_warp[0], of_warp[1]), max(of_warp[2], of_warp[3]));
  float sum = 0.0f;
  for (int c = thread; c < columns; c += 128) sum += expf(row[c] - largest);
  for (int m = 16; m > 0; m /= 2) sum += __shfl_xor_sync(0xffffffffu, sum, m);
  __syncthreads();  // of_warp is about to be reused for the sums
  if (thread % 32 == 0) of_warp[thread / 32] = sum;
  __syncthreads();
  sum = (of_warp[0] + of_warp[1]) + (of_warp[2] + of_warp[3]);
  for (int c = thread; c < columns; c += 128) {
    y[static_cast<std::size_t>(blockIdx.x) * columns + c] = expf(row[c] - largest) / sum;
  }
}

template <typename Real>
__global__ void __launch_bounds__(256)
    tiled_matmul_kernel(const Real* a, const Real* b, Real* c, int n) {
  __shared__ Real a_tile[16][17];
  __shared__ Real b_tile[16][17];
  const int row = static_cast<int>(blockIdx.y * 16 + threadIdx.y);
  const int column = static_cast<int>(blockIdx.x * 16 + threadIdx.x);
  Real sum = 0;
  for (int k0 = 0; k0 < n; k0 += 16) {
    const int ka = k0 + static_cast<int>(threadIdx.x);
    const int kb = k0 + static_cast<int>(threadIdx.y);
    a_tile[threadIdx.y][threadIdx.x] = row < n && ka < n ? a[row * n + ka] : Real(0);
    b_tile[threadIdx.y][threadIdx.x] = kb < n && column < n ? b[kb * n + column] : Real(0);
    __syncthreads();
    for (int k = 0; k < 16; ++k) sum += a_tile[threadIdx.y][k] * b_tile[k][threadIdx.x];
    __syncthreads();
  }
  if (row < n && column < n) c[row * n + column] = sum;
}

// y[i] = x[i-1] + x[i] + x[i+1] with a halo in dynamic shared memory.
__global__ void stencil_kernel(const float* x, float* y, int n) {
  float* tile = simt::dynamic_shared<float>();
  const int i = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  const int at = static_cast<int>(threadIdx.x) + 1;
  tile[at] = i < n ? x[i] : 0.0f;
  if (threadIdx.x == 0) tile[0] = i > 0 ? x[i - 1] : 0.0f;
  if (threadIdx.x == blockDim.x - 1) tile[at + 1] = i + 1 < n ? x[i + 1] : 0.0f;
  __syncthreads();
  if (i < n) y[i] = tile[at - 1] + tile[at] + tile[at + 1];
}

// Inclusive scan of each group of 32, through shared memory with __syncwarp between the steps.
__global__ void warp_scan_kernel(const float* x, float* y, int n) {
  __shared__ float scan[128];
  const int i = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  const unsigned lane = threadIdx.x % 32;
  scan[threadIdx.x] = i < n ? x[i] : 0.0f;
  __syncwarp();
  for (unsigned delta = 1; delta < 32; delta *= 2) {
    const float left = lane >= delta ? scan[threadIdx.x - delta] : 0.0f;
    __syncwarp();
    scan[threadIdx.x] += left;
    __syncwarp();
  }
  if (i < n) y[i] = scan[threadIdx.x];
}

std::vector<float> pattern(int n) {
  std::vector<float> values(static_cast<std::size_t>(n));
  for (int i = 0; i < n; ++i) values[i] = static_cast<float>((i * 37 + 11) % 101) / 101.0f - 0.4f;
  return values;
}

struct CorrectKernel {
  std::string name;
  std::function<std::vector<float>()> run;
  std::function<std::vector<double>()> expected;
};

// Wider than a warp, wider than a block, and multiples of neither.
constexpr int kN = 1000;
constexpr int kColumns = 77;
constexpr int kRows = 13;
constexpr int kSide = 41;

std::vector<CorrectKernel> correct_kernels() {
  std::vector<CorrectKernel> kernels;
  kernels.push_back({"block_sum",
                     [] {
                       const std::vector<float> x = pattern(kN);
                       std::vector<float> out(4);
                       simt::launch("test.block_sum", block_sum_kernel,
                                    {.grid = {4}, .block = {256}}, x.data(), out.data(), kN);
                       return out;
                     },
                     [] {
                       const std::vector<float> x = pattern(kN);
                       std::vector<double> out(4);
                       for (int i = 0; i < kN; ++i) out[i / 256] += x[i];
                       return out;
                     }});
  kernels.push_back({"softmax",
                     [] {
                       const std::vector<float> x = pattern(kRows * kColumns);
                       std::vector<float> y(x.size());
                       simt::launch("test.softmax", softmax_kernel,
                                    {.grid = {kRows}, .block = {128}}, x.data(), y.data(),
                                    kColumns);
                       return y;
                     },
                     [] {
                       const std::vector<float> x = pattern(kRows * kColumns);
                       std::vector<double> y(x.size());
                       for (int r = 0; r < kRows; ++r) {
                         double sum = 0;
                         for (int c = 0; c < kColumns; ++c)
                           sum += std::exp(double{x[r * kColumns + c]});
                         for (int c = 0; c < kColumns; ++c) {
                           y[r * kColumns + c] = std::exp(double{x[r * kColumns + c]}) / sum;
                         }
                       }
                       return y;
                     }});
  kernels.push_back({"tiled_matmul",
                     [] {
                       const std::vector<float> a = pattern(kSide * kSide);
                       std::vector<float> c(a.size());
                       simt::launch("test.tiled_matmul", tiled_matmul_kernel<float>,
                                    {.grid = {3, 3}, .block = {16, 16}}, a.data(), a.data(),
                                    c.data(), kSide);
                       return c;
                     },
                     [] {
                       const std::vector<float> a = pattern(kSide * kSide);
                       std::vector<double> c(a.size());
                       for (int i = 0; i < kSide; ++i) {
                         for (int j = 0; j < kSide; ++j) {
                           for (int k = 0; k < kSide; ++k) {
                             c[i * kSide + j] += double{a[i * kSide + k]} * a[k * kSide + j];
                           }
                         }
                       }
                       return c;
                     }});
  kernels.push_back(
      {"stencil",
       [] {
         const std::vector<float> x = pattern(kN);
         std::vector<float> y(x.size());
         simt::launch("test.stencil", stencil_kernel,
                      {.grid = {16}, .block = {65}, .shared_bytes = 67 * sizeof(float)}, x.data(),
                      y.data(), kN);
         return y;
       },
       [] {
         const std::vector<float> x = pattern(kN);
         std::vector<double> y(x.size());
         for (int i = 0; i < kN; ++i) {
           y[i] = (i > 0 ? double{x[i - 1]} : 0) + x[i] + (i + 1 < kN ? double{x[i + 1]} : 0);
         }
         return y;
       }});
  kernels.push_back({"warp_scan",
                     [] {
                       const std::vector<float> x = pattern(kN);
                       std::vector<float> y(x.size());
                       simt::launch("test.warp_scan", warp_scan_kernel,
                                    {.grid = {8}, .block = {128}}, x.data(), y.data(), kN);
                       return y;
                     },
                     [] {
                       const std::vector<float> x = pattern(kN);
                       std::vector<double> y(x.size());
                       for (int i = 0; i < kN; ++i) y[i] = x[i] + (i % 32 == 0 ? 0 : y[i - 1]);
                       return y;
                     }});
  return kernels;
}

}  // namespace
}  // namespace cucina
