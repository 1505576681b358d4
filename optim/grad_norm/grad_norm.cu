// grad_norm's hand-written kernels: blocks sum squares, then every block adds their sums itself.
#include <algorithm>

#include "kernels/common/arena.h"
#include "kernels/common/block_sum.h"
#include "kernels/common/pack.h"
#include "kernels/simt/map.h"
#include "optim/grad_norm/grad_norm.h"

namespace cucina {
namespace {

constexpr int kThreads = 128;

// What one block sums, and scales: as many elements for each, a multiple of a pack.
struct Chunks {
  std::int64_t count;
  std::int64_t length;
};

// It depends on the number of elements only, so the order of summation does too.
Chunks chunks(std::int64_t elements) {
  constexpr std::int64_t kShortest = 8192;  // below it barriers cost more than sums
  constexpr std::int64_t kMost = 1024;      // enough to fill any GPU
  const std::int64_t share = (elements + kMost - 1) / kMost;
  const std::int64_t length = std::max(kShortest, (share + 7) / 8 * 8);
  return {.count = (elements + length - 1) / length, .length = length};
}

std::int64_t scratch_elements(std::int64_t elements) { return chunks(elements).count; }

// 16 bytes. Which thread adds what depends on this, not on whether addresses allow such a move.
template <typename T>
inline constexpr int kPack = 16 / sizeof(T);

// Calls body.operator()<width>(i) for the elements [i, i + width) that are this thread's part of
// the block's chunk; a width is kWidth or 1.
template <int kWidth, typename Body>
__device__ void for_own_part(std::int64_t n, std::int64_t length, Body body) {
  const std::int64_t begin = static_cast<std::int64_t>(blockIdx.x) * length;
  const std::int64_t end = begin + length < n ? begin + length : n;
  const std::int64_t whole = end - (end - begin) % kWidth;
  for (std::int64_t i = begin + static_cast<std::int64_t>(threadIdx.x) * kWidth; i < whole;
       i += kThreads * kWidth) {
    body.template operator()<kWidth>(i);
  }
  for (std::int64_t i = whole + threadIdx.x; i < end; i += kThreads) {
    body.template operator()<1>(i);
  }
}

template <typename T, bool kAligned>
struct AddSquares {
  const T* x;
  double& sum;
  template <int kWidth>
  __device__ void operator()(std::int64_t i) const {
    Pack<T, kWidth> pack;
    if constexpr (kAligned) {
      pack = load_pack<kWidth>(x + i);
    } else {
      for (int j = 0; j < kWidth; ++j) pack.at[j] = x[i + j];
    }
    for (int j = 0; j < kWidth; ++j) {
      const double value = static_cast<double>(static_cast<Compute<T>>(pack.at[j]));
      sum = fma(value, value, sum);
    }
  }
};

template <typename T, bool kAligned>
__global__ void __launch_bounds__(kThreads)
    sum_squares_kernel(const T* x, std::int64_t n, std::int64_t length, double* sums) {
  __shared__ BlockSum<kThreads> block_sum;
  double sum = 0;
  for_own_part<kPack<T>>(n, length, AddSquares<T, kAligned>{x, sum});
  const double all = block_sum.add(sum);
  if (threadIdx.x == 0) sums[blockIdx.x] = all;
}

// The norm, from the sums of all blocks; the same for every thread of every block.
__device__ double norm_of(BlockSum<kThreads>& block_sum, const double* sums, std::int64_t count) {
  double sum = 0;
  for (std::int64_t i = threadIdx.x; i < count; i += kThreads) sum += sums[i];
  return sqrt(block_sum.add(sum));
}

template <typename Real>
__global__ void __launch_bounds__(kThreads)
    norm_kernel(const double* sums, std::int64_t count, Real* norm) {
  __shared__ BlockSum<kThreads> block_sum;
  const double all = norm_of(block_sum, sums, count);
  if (threadIdx.x == 0) *norm = static_cast<Real>(all);
}

template <typename T>
struct Scale {
  T* x;
  Compute<T> factor;
  template <int kWidth>
  __device__ void operator()(std::int64_t i) const {
    auto pack = load_pack<kWidth>(x + i);
    for (int j = 0; j < kWidth; ++j) {
      pack.at[j] = T(static_cast<Compute<T>>(pack.at[j]) * factor);
    }
    store_pack(pack, x + i);
  }
};

template <typename T, int kWidth>
__global__ void __launch_bounds__(kThreads)
    scale_kernel(T* x, std::int64_t n, std::int64_t length, const double* sums, double max_norm,
                 Compute<T>* norm) {
  __shared__ BlockSum<kThreads> block_sum;
  const double all = norm_of(block_sum, sums, gridDim.x);
  if (blockIdx.x == 0 && threadIdx.x == 0) *norm = static_cast<Compute<T>>(all);
  const double factor = max_norm / (all + 1e-6);
  if (factor >= 1) return;  // NaN goes on
  for_own_part<kWidth>(n, length, Scale<T>{x, static_cast<Compute<T>>(factor)});
}

// Launches the first pass; its sums are in `scratch`.
template <typename T, int kWidth>
void sum_squares(const Tensor& gradients, const Chunks& split, const Tensor& scratch) {
  simt::launch("grad_norm.sum_squares", sum_squares_kernel<T, (kWidth > 1)>,
               {.grid = {static_cast<unsigned>(split.count)},
                .block = {kThreads},
                .stream = gradients.stream()},
               gradients.data<T>(), gradients.elements(), split.length, scratch.data<double>());
}

void run_norm(const Tensor& gradients, const Tensor& norm, const Tensor& scratch) {
  const Chunks split = chunks(gradients.elements());
  if (split.count == 0) return norm.zero();
  for_floating("grad_norm", gradients.dtype(), [&]<typename T>() {
    for_arena_width<T>({gradients},
                       [&]<int kWidth>() { sum_squares<T, kWidth>(gradients, split, scratch); });
    simt::launch("grad_norm.norm", norm_kernel<Compute<T>>,
                 {.grid = {1}, .block = {kThreads}, .stream = gradients.stream()},
                 scratch.data<double>(), split.count, norm.data<Compute<T>>());
  });
}

void run_clip(const Tensor& gradients, double max_norm, const Tensor& norm, const Tensor& scratch) {
  const Chunks split = chunks(gradients.elements());
  if (split.count == 0) return norm.zero();
  for_floating("grad_norm", gradients.dtype(), [&]<typename T>() {
    for_arena_width<T>({gradients}, [&]<int kWidth>() {
      sum_squares<T, kWidth>(gradients, split, scratch);
      simt::launch("grad_norm.scale", scale_kernel<T, kWidth>,
                   {.grid = {static_cast<unsigned>(split.count)},
                    .block = {kThreads},
                    .stream = gradients.stream()},
                   gradients.data<T>(), gradients.elements(), split.length, scratch.data<double>(),
                   max_norm, norm.data<Compute<T>>());
    });
  });
}

template <typename T>
struct ClampElement {
  T* x;
  Compute<T> limit;
  __device__ void operator()(std::int64_t i) const {
    const auto value = static_cast<Compute<T>>(x[i]);
    // Comparisons with NaN are false: NaN stays.
    x[i] = T(value < -limit ? -limit : value > limit ? limit : value);
  }
};

void run_clip_value(const Tensor& gradients, double limit) {
  for_floating("grad_norm", gradients.dtype(), [&]<typename T>() {
    simt::map("grad_norm.clip_value", gradients.stream(), gradients.elements(),
              ClampElement<T>{gradients.data<T>(), static_cast<Compute<T>>(limit)});
  });
}

}  // namespace

template <typename Target>
GradNormOp GradNormOp::hand() {
  return {.dtypes = kFloating,
          .norm = run_norm,
          .clip = run_clip,
          .clip_value = run_clip_value,
          .scratch = scratch_elements};
}
template GradNormOp GradNormOp::hand<simt::Target>();

}  // namespace cucina
