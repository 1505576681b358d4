// softmax_cross_entropy's hand-written kernels: one fused pass over the rows, then their mean.
#include <limits>

#include "core/math.h"
#include "kernels/simt/map.h"
#include "kernels/simt/simt.h"
#include "kernels/softmax_cross_entropy/softmax_cross_entropy.h"

namespace cucina {
namespace {

constexpr int kWarp = 32;
constexpr int kThreads = 128;
// Rows up to this long are read by one thread each: no barrier, and no idle lanes.
constexpr std::int64_t kShortRow = 32;

template <typename Real>
struct Rows {
  const Real* logits;
  const std::int32_t* labels;
  std::int64_t n, classes;
  Real* losses;
  std::int32_t* correct;
  Real* dlogits;  // null when not wanted
};

// The largest number and its place; the first among equals.
template <typename Real>
struct Largest {
  Real value;
  std::int64_t index;

  // What every number is larger than.
  __device__ static Largest none() {
    return {-std::numeric_limits<Real>::infinity(), std::numeric_limits<std::int64_t>::max()};
  }
  __device__ void add(Real other, std::int64_t other_index) {
    if (other > value || (other == value && other_index < index)) {
      value = other;
      index = other_index;
    }
  }
};

// Writes loss and correct of a row, given its largest logit and sum = sum_k e^(logits[k] -
// largest). A NaN among the logits is skipped by `largest` but is in `sum`.
template <typename Real>
__device__ void finish_row(const Rows<Real>& rows, std::int64_t row, const Largest<Real>& largest,
                           Real sum) {
  const std::int64_t label = rows.labels[row];
  const bool valid = label >= 0 && label < rows.classes;
  rows.losses[row] =
      valid ? math::log(sum) - (rows.logits[row * rows.classes + label] - largest.value)
            : std::numeric_limits<Real>::quiet_NaN();
  rows.correct[row] = largest.index == label && sum == sum ? 1 : 0;
}

// Adds up e^(logits[k] - largest) over every `stride`-th logit of a row, and leaves the terms where
// the gradient goes: exp costs more than reading them back.
template <typename Real>
__device__ Real sum_of_exps(const Rows<Real>& rows, std::int64_t row, Real largest,
                            std::int64_t first, std::int64_t stride) {
  const Real* x = rows.logits + row * rows.classes;
  Real* dx = rows.dlogits == nullptr ? nullptr : rows.dlogits + row * rows.classes;
  Real sum = 0;
  for (std::int64_t k = first; k < rows.classes; k += stride) {
    const Real term = math::exp(x[k] - largest);
    sum += term;
    if (dx != nullptr) dx[k] = term;
  }
  return sum;
}

// Turns the terms that sum_of_exps left into the gradient; same `first` and `stride`.
template <typename Real>
__device__ void write_gradient(const Rows<Real>& rows, std::int64_t row, Real sum,
                               std::int64_t first, std::int64_t stride) {
  if (rows.dlogits == nullptr) return;
  Real* dx = rows.dlogits + row * rows.classes;
  const std::int64_t label = rows.labels[row];
  const bool valid = label >= 0 && label < rows.classes;
  const Real weight =
      valid ? Real(1) / static_cast<Real>(rows.n) : std::numeric_limits<Real>::quiet_NaN();
  for (std::int64_t k = first; k < rows.classes; k += stride) {
    dx[k] = (dx[k] / sum - (k == label ? Real(1) : Real(0))) * weight;
  }
}

template <typename Real>
__global__ void one_row_per_thread_kernel(Rows<Real> rows) {
  const std::int64_t row = static_cast<std::int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (row >= rows.n) return;
  const Real* x = rows.logits + row * rows.classes;
  auto largest = Largest<Real>::none();
  for (std::int64_t k = 0; k < rows.classes; ++k) largest.add(x[k], k);
  const Real sum = sum_of_exps<Real>(rows, row, largest.value, 0, 1);
  finish_row(rows, row, largest, sum);
  write_gradient<Real>(rows, row, sum, 0, 1);
}

// Blocks of one warp: a barrier waits for 32 threads, and 16 such blocks or more share an SM.
template <typename Real>
__global__ void one_row_per_warp_kernel(Rows<Real> rows) {
  __shared__ Largest<Real> largest_of_lane[kWarp];
  __shared__ Real sum_of_lane[kWarp];
  const int lane = static_cast<int>(threadIdx.x);
  const std::int64_t row = blockIdx.x;
  const Real* x = rows.logits + row * rows.classes;

  auto largest = Largest<Real>::none();
  for (std::int64_t k = lane; k < rows.classes; k += kWarp) largest.add(x[k], k);
  largest_of_lane[lane] = largest;
  __syncthreads();
  for (const Largest<Real>& other : largest_of_lane) largest.add(other.value, other.index);

  sum_of_lane[lane] = sum_of_exps<Real>(rows, row, largest.value, lane, kWarp);
  __syncthreads();
  Real sum = 0;
  for (const Real other : sum_of_lane) sum += other;

  if (lane == 0) finish_row(rows, row, largest, sum);
  write_gradient<Real>(rows, row, sum, lane, kWarp);
}

// One warp: lane l adds losses l, l + 32, ..., then lane 0 adds the lanes. In double, so that a
// million rows lose nothing.
template <typename Real>
__global__ void mean_kernel(const Real* losses, std::int64_t n, Real* mean) {
  __shared__ double sum_of_lane[kWarp];
  double sum = 0;
  for (std::int64_t row = threadIdx.x; row < n; row += kWarp) sum += losses[row];
  sum_of_lane[threadIdx.x] = sum;
  __syncthreads();
  if (threadIdx.x != 0) return;
  sum = 0;
  for (const double other : sum_of_lane) sum += other;
  *mean = static_cast<Real>(sum / static_cast<double>(n));
}

template <typename Real>
struct BackwardElement {
  const Real* dy;
  const Real* dlogits;
  Real* dx;
  bool accumulate;
  __device__ void operator()(std::int64_t i) const {
    const Real gradient = *dy * dlogits[i];
    dx[i] = accumulate ? dx[i] + gradient : gradient;
  }
};

void run_forward(const Tensor& logits, const Tensor& labels, const SoftmaxCrossEntropy& result,
                 const Tensor& dlogits) {
  for_real("softmax_cross_entropy", logits.dtype(), [&]<typename Real>() {
    const Rows<Real> rows{.logits = logits.data<Real>(),
                          .labels = labels.data<std::int32_t>(),
                          .n = logits.size(0),
                          .classes = logits.size(1),
                          .losses = result.losses.data<Real>(),
                          .correct = result.correct.data<std::int32_t>(),
                          .dlogits = dlogits.defined() ? dlogits.data<Real>() : nullptr};
    const Stream stream = logits.stream();
    if (rows.classes <= kShortRow) {
      const auto blocks = static_cast<unsigned>((rows.n + kThreads - 1) / kThreads);
      simt::launch("softmax_cross_entropy.forward", one_row_per_thread_kernel<Real>,
                   {.grid = {blocks}, .block = {kThreads}, .stream = stream}, rows);
    } else {
      simt::launch("softmax_cross_entropy.forward", one_row_per_warp_kernel<Real>,
                   {.grid = {static_cast<unsigned>(rows.n)}, .block = {kWarp}, .stream = stream},
                   rows);
    }
    simt::launch("softmax_cross_entropy.mean", mean_kernel<Real>,
                 {.grid = {1}, .block = {kWarp}, .stream = stream}, rows.losses, rows.n,
                 result.loss.data<Real>());
  });
}

void run_backward(const Tensor& dy, const Tensor& dlogits, Write write, const Tensor& dx) {
  for_real("softmax_cross_entropy", dy.dtype(), [&]<typename Real>() {
    simt::map("softmax_cross_entropy.backward", dy.stream(), dx.elements(),
              BackwardElement<Real>{dy.data<Real>(), dlogits.data<Real>(), dx.data<Real>(),
                                    write == Write::accumulate});
  });
}

}  // namespace

template <typename Target>
SoftmaxCrossEntropyOp SoftmaxCrossEntropyOp::hand() {
  return {.dtypes = kReal, .forward = run_forward, .backward = run_backward};
}
template SoftmaxCrossEntropyOp SoftmaxCrossEntropyOp::hand<simt::Target>();

}  // namespace cucina
