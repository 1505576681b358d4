// batch_norm's hand-written kernels: partial sums over chunks of rows (a row is one pixel's
// channels), a second kernel that sums the chunks in order, and the elementwise rest.
#include "kernels/batch_norm/batch_norm.h"
#include "kernels/common/pack.h"
#include "kernels/common/row_chunks.h"
#include "kernels/simt/simt.h"

namespace cucina {
namespace {

constexpr int kThreads = 256;  // of the kernels without barriers
constexpr int kColumns = 8;    // channels per block where chunks are summed
constexpr int kLanes = 32;     // threads per channel there

// What one thread of the first and last kernels handles: a few channels of a few rows. Neighbours
// in a warp take neighbouring channels, then the next chunk.
struct Part {
  std::int64_t chunk, channel, first, last;  // rows [first, last)
};

template <int kWidth>
__device__ bool find_part(const RowChunks& chunks, std::int64_t c, Part& part) {
  const std::int64_t packs = c / kWidth;
  const std::int64_t i = static_cast<std::int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  const std::int64_t first = i / packs * chunks.length;
  const std::int64_t last = first + chunks.length;
  part = {i / packs, i % packs * kWidth, first, last < chunks.rows ? last : chunks.rows};
  return part.chunk < chunks.count;
}

// Two numbers per channel and chunk, then two per channel: what the second kernel made of them.
template <typename Real>
struct Partials {
  Real* data;
  std::int64_t c, chunks;
  __device__ Real* first(std::int64_t chunk) const { return data + chunk * c; }
  __device__ Real* second(std::int64_t chunk) const { return data + (chunks + chunk) * c; }
  __device__ Real* first_total() const { return data + 2 * chunks * c; }
  __device__ Real* second_total() const { return first_total() + c; }
};

// Of every chunk the mean and the sum of squared distances from it. A second look at the rows,
// still in the cache, rather than E[x^2] - mean^2, which cancels when |mean| >> std.
template <typename Real, int kWidth>
__global__ void chunk_moments_kernel(const Real* x, RowChunks chunks, Partials<Real> partials) {
  const std::int64_t c = partials.c;
  Part part;
  if (!find_part<kWidth>(chunks, c, part)) return;
  Pack<Real, kWidth> mean = {};
  for (std::int64_t row = part.first; row < part.last; ++row) {
    const auto value = load_pack<kWidth>(x + row * c + part.channel);
    for (int j = 0; j < kWidth; ++j) mean.at[j] += value.at[j];
  }
  const Real share = Real(1) / static_cast<Real>(part.last - part.first);
  for (int j = 0; j < kWidth; ++j) mean.at[j] *= share;
  Pack<Real, kWidth> squares = {};
  for (std::int64_t row = part.first; row < part.last; ++row) {
    const auto value = load_pack<kWidth>(x + row * c + part.channel);
    for (int j = 0; j < kWidth; ++j) {
      const Real distance = value.at[j] - mean.at[j];
      squares.at[j] = fma(distance, distance, squares.at[j]);
    }
  }
  store_pack(mean, partials.first(part.chunk) + part.channel);
  store_pack(squares, partials.second(part.chunk) + part.channel);
}

// Of every chunk the sums of dy and of dy (x - mean).
template <typename Real, int kWidth>
__global__ void chunk_gradients_kernel(const Real* dy, const Real* x, const Real* mean,
                                       RowChunks chunks, Partials<Real> partials) {
  const std::int64_t c = partials.c;
  Part part;
  if (!find_part<kWidth>(chunks, c, part)) return;
  Pack<Real, kWidth> sum = {}, product = {}, center;
  for (int j = 0; j < kWidth; ++j) center.at[j] = mean[part.channel + j];
  for (std::int64_t row = part.first; row < part.last; ++row) {
    const auto gradient = load_pack<kWidth>(dy + row * c + part.channel);
    const auto value = load_pack<kWidth>(x + row * c + part.channel);
    for (int j = 0; j < kWidth; ++j) {
      sum.at[j] += gradient.at[j];
      product.at[j] = fma(gradient.at[j], value.at[j] - center.at[j], product.at[j]);
    }
  }
  store_pack(sum, partials.first(part.chunk) + part.channel);
  store_pack(product, partials.second(part.chunk) + part.channel);
}

// A block's scratch: one number of every thread.
template <typename Real>
struct LaneSums {
  Real at[kLanes][kColumns];
};

// The sum over the lanes of this thread's channel, in order; every lane gets it. `lanes` is not to
// be used again before another barrier.
template <typename Real>
__device__ Real sum_lanes(Real mine, LaneSums<Real>& lanes) {
  lanes.at[threadIdx.y][threadIdx.x] = mine;
  __syncthreads();
  Real sum = 0;
  for (int lane = 0; lane < kLanes; ++lane) sum += lanes.at[lane][threadIdx.x];
  return sum;
}

// What becomes of a batch's statistics.
template <typename Real>
struct Statistics {
  Real* mean;
  Real* inv_std;
  Real* running_mean;
  Real* running_var;
  Real momentum, eps;
};

// Joins the chunks' moments: with m_i values in chunk i, mean = sum m_i mean_i / m and
// m var = sum squares_i + sum m_i (mean_i - mean)^2 (Chan et al. 1979, for any number of parts).
template <typename Real>
__global__ void join_moments_kernel(Partials<Real> partials, RowChunks chunks,
                                    Statistics<Real> statistics) {
  __shared__ LaneSums<Real> sums, squares;
  const std::int64_t c = partials.c;
  const std::int64_t channel = static_cast<std::int64_t>(blockIdx.x) * kColumns + threadIdx.x;
  const bool inside = channel < c;
  const auto values = [&](std::int64_t chunk) {
    const std::int64_t rest = chunks.rows - chunk * chunks.length;
    return static_cast<Real>(rest < chunks.length ? rest : chunks.length);
  };
  const Real m = static_cast<Real>(chunks.rows > 0 ? chunks.rows : 1);

  Real mine = 0;
  if (inside) {
    for (std::int64_t chunk = threadIdx.y; chunk < chunks.count; chunk += kLanes) {
      mine = fma(values(chunk), partials.first(chunk)[channel], mine);
    }
  }
  const Real mean = sum_lanes(mine, sums) / m;

  mine = 0;
  if (inside) {
    for (std::int64_t chunk = threadIdx.y; chunk < chunks.count; chunk += kLanes) {
      const Real distance = partials.first(chunk)[channel] - mean;
      mine += fma(values(chunk) * distance, distance, partials.second(chunk)[channel]);
    }
  }
  const Real squared = sum_lanes(mine, squares);

  if (!inside || threadIdx.y != 0) return;
  statistics.mean[channel] = mean;
  statistics.inv_std[channel] = Real(1) / sqrt(squared / m + statistics.eps);
  if (chunks.rows < 2) return;
  const Real keep = Real(1) - statistics.momentum;
  Real& running_mean = statistics.running_mean[channel];
  Real& running_var = statistics.running_var[channel];
  running_mean = fma(statistics.momentum, mean, keep * running_mean);
  running_var = fma(statistics.momentum, squared / (m - Real(1)), keep * running_var);
}

// Where the gradients of gamma and beta go; null: nowhere.
template <typename Real>
struct AffineGradients {
  Real* dgamma;
  Real* dbeta;
  bool add_gamma, add_beta;
};

// 1 / std of a channel: given, or from a running variance.
template <typename Real>
struct InverseStd {
  const Real* inv_std;
  const Real* var;  // used where inv_std is null
  Real eps;
  __device__ Real operator()(std::int64_t channel) const {
    return inv_std != nullptr ? inv_std[channel] : Real(1) / sqrt(var[channel] + eps);
  }
};

// Sums the chunks of dy (dbeta) and dy (x - mean) / std (dgamma), and leaves both in the totals.
template <typename Real>
__global__ void join_gradients_kernel(Partials<Real> partials, InverseStd<Real> inverse_std,
                                      AffineGradients<Real> to) {
  __shared__ LaneSums<Real> sums, products;
  const std::int64_t channel = static_cast<std::int64_t>(blockIdx.x) * kColumns + threadIdx.x;
  const bool inside = channel < partials.c;
  Real sum = 0, product = 0;
  if (inside) {
    for (std::int64_t chunk = threadIdx.y; chunk < partials.chunks; chunk += kLanes) {
      sum += partials.first(chunk)[channel];
      product += partials.second(chunk)[channel];
    }
  }
  sum = sum_lanes(sum, sums);
  product = sum_lanes(product, products);
  if (!inside || threadIdx.y != 0) return;
  product *= inverse_std(channel);
  partials.first_total()[channel] = sum;
  partials.second_total()[channel] = product;
  if (to.dgamma != nullptr) {
    to.dgamma[channel] = to.add_gamma ? to.dgamma[channel] + product : product;
  }
  if (to.dbeta != nullptr) to.dbeta[channel] = to.add_beta ? to.dbeta[channel] + sum : sum;
}

// y = (x - mean) (gamma / std) + beta; not x (gamma / std) + (beta - mean gamma / std), which
// cancels when |mean| >> std.
template <typename Real, int kWidth>
__global__ void normalize_kernel(const Real* x, const Real* gamma, const Real* beta,
                                 const Real* mean, InverseStd<Real> inverse_std, RowChunks chunks,
                                 std::int64_t c, Real* y) {
  Part part;
  if (!find_part<kWidth>(chunks, c, part)) return;
  Pack<Real, kWidth> center, scale, shift;
  for (int j = 0; j < kWidth; ++j) {
    const std::int64_t channel = part.channel + j;
    center.at[j] = mean[channel];
    scale.at[j] = gamma[channel] * inverse_std(channel);
    shift.at[j] = beta[channel];
  }
  for (std::int64_t row = part.first; row < part.last; ++row) {
    auto value = load_pack<kWidth>(x + row * c + part.channel);
    for (int j = 0; j < kWidth; ++j) {
      value.at[j] = fma(value.at[j] - center.at[j], scale.at[j], shift.at[j]);
    }
    store_pack(value, y + row * c + part.channel);
  }
}

// dx = (gamma / std) (dy - dbeta / m - (x - mean) / std dgamma / m): what of dy is not along the
// constant or x itself, as mean and var follow x.
template <typename Real, int kWidth>
__global__ void backward_train_kernel(const Real* dy, const Real* x, const Real* gamma,
                                      const Real* mean, const Real* inv_std, RowChunks chunks,
                                      Partials<Real> partials, Real* dx, bool accumulate) {
  const std::int64_t c = partials.c;
  Part part;
  if (!find_part<kWidth>(chunks, c, part)) return;
  const Real share = Real(1) / static_cast<Real>(chunks.rows);
  Pack<Real, kWidth> center, scale, constant, slope;
  for (int j = 0; j < kWidth; ++j) {
    const std::int64_t channel = part.channel + j;
    center.at[j] = mean[channel];
    scale.at[j] = gamma[channel] * inv_std[channel];
    constant.at[j] = partials.first_total()[channel] * share;
    slope.at[j] = partials.second_total()[channel] * share * inv_std[channel];
  }
  for (std::int64_t row = part.first; row < part.last; ++row) {
    const auto value = load_pack<kWidth>(x + row * c + part.channel);
    auto gradient = load_pack<kWidth>(dy + row * c + part.channel);
    for (int j = 0; j < kWidth; ++j) {
      const Real across =
          fma(-slope.at[j], value.at[j] - center.at[j], gradient.at[j] - constant.at[j]);
      gradient.at[j] = across * scale.at[j];
    }
    store_pack(gradient, dx + row * c + part.channel, accumulate);
  }
}

template <typename Real, int kWidth>
__global__ void backward_eval_kernel(const Real* dy, const Real* gamma,
                                     InverseStd<Real> inverse_std, RowChunks chunks, std::int64_t c,
                                     Real* dx, bool accumulate) {
  Part part;
  if (!find_part<kWidth>(chunks, c, part)) return;
  Pack<Real, kWidth> scale;
  for (int j = 0; j < kWidth; ++j) {
    scale.at[j] = gamma[part.channel + j] * inverse_std(part.channel + j);
  }
  for (std::int64_t row = part.first; row < part.last; ++row) {
    auto gradient = load_pack<kWidth>(dy + row * c + part.channel);
    for (int j = 0; j < kWidth; ++j) gradient.at[j] *= scale.at[j];
    store_pack(gradient, dx + row * c + part.channel, accumulate);
  }
}

// --- launches ---

// Launches a kernel that handles Parts, unless there are none.
template <typename... Params, typename... Args>
void launch_parts(const char* name, void (*kernel)(Params...), const Tensor& x,
                  const RowChunks& chunks, std::int64_t packs, const Args&... args) {
  if (chunks.count == 0) return;
  const std::int64_t blocks = (chunks.count * packs + kThreads - 1) / kThreads;
  simt::launch(name, kernel,
               {.grid = {static_cast<unsigned>(blocks)},
                .block = {kThreads},
                .shared_bytes = 0,
                .stream = x.stream()},
               args...);
}

// Launches a kernel that joins the chunks of kColumns channels per block.
template <typename... Params, typename... Args>
void launch_joint(const char* name, void (*kernel)(Params...), const Tensor& x, std::int64_t c,
                  const Args&... args) {
  simt::launch(name, kernel,
               {.grid = {static_cast<unsigned>((c + kColumns - 1) / kColumns)},
                .block = {kColumns, kLanes},
                .shared_bytes = 0,
                .stream = x.stream()},
               args...);
}

std::int64_t channels(const Tensor& x) { return x.size(-1); }
RowChunks chunks_of(const Tensor& x) { return row_chunks(x.elements() / channels(x)); }

template <typename Real>
Partials<Real> partials_in(const Tensor& scratch, const Tensor& x) {
  return {scratch.data<Real>(), channels(x), chunks_of(x).count};
}

template <typename Real>
Real* data_or_null(const Tensor& tensor) {
  return tensor.defined() ? tensor.data<Real>() : nullptr;
}

template <typename Real>
void normalize(const char* name, const Tensor& x, const Tensor& gamma, const Tensor& beta,
               const Tensor& mean, const InverseStd<Real>& inverse_std, const Tensor& y) {
  const std::int64_t c = channels(x);
  for_pack_width(c, {x, y}, [&]<int kWidth>() {
    launch_parts(name, normalize_kernel<Real, kWidth>, x, chunks_of(x), c / kWidth, x.data<Real>(),
                 gamma.data<Real>(), beta.data<Real>(), mean.data<Real>(), inverse_std,
                 chunks_of(x), c, y.data<Real>());
  });
}

void run_forward_train(const Tensor& x, const Tensor& gamma, const Tensor& beta,
                       const BatchNormParams& params, const Tensor& running_mean,
                       const Tensor& running_var, const Tensor& scratch, const Tensor& y,
                       const Tensor& mean, const Tensor& inv_std) {
  const std::int64_t c = channels(x);
  const RowChunks chunks = chunks_of(x);
  for_real("batch_norm", x.dtype(), [&]<typename Real>() {
    const auto partials = partials_in<Real>(scratch, x);
    for_pack_width(c, {x, scratch}, [&]<int kWidth>() {
      launch_parts("batch_norm.chunk_moments", chunk_moments_kernel<Real, kWidth>, x, chunks,
                   c / kWidth, x.data<Real>(), chunks, partials);
    });
    const Statistics<Real> statistics{mean.data<Real>(),
                                      inv_std.data<Real>(),
                                      running_mean.data<Real>(),
                                      running_var.data<Real>(),
                                      static_cast<Real>(params.momentum),
                                      static_cast<Real>(params.eps)};
    launch_joint("batch_norm.join_moments", join_moments_kernel<Real>, x, c, partials, chunks,
                 statistics);
    normalize<Real>("batch_norm.forward_train", x, gamma, beta, mean,
                    {inv_std.data<Real>(), nullptr, Real(0)}, y);
  });
}

void run_forward_eval(const Tensor& x, const Tensor& gamma, const Tensor& beta,
                      const Tensor& running_mean, const Tensor& running_var,
                      const BatchNormParams& params, const Tensor& y) {
  for_real("batch_norm", x.dtype(), [&]<typename Real>() {
    normalize<Real>("batch_norm.forward_eval", x, gamma, beta, running_mean,
                    {nullptr, running_var.data<Real>(), static_cast<Real>(params.eps)}, y);
  });
}

// dgamma and dbeta to where they are wanted, and to the totals in `scratch`.
template <typename Real>
void sum_gradients(const Tensor& dy, const Tensor& x, const Tensor& mean,
                   const InverseStd<Real>& inverse_std, const Tensor& scratch,
                   const BatchNormGradients& to) {
  const std::int64_t c = channels(x);
  const auto partials = partials_in<Real>(scratch, x);
  for_pack_width(c, {dy, x, scratch}, [&]<int kWidth>() {
    launch_parts("batch_norm.chunk_gradients", chunk_gradients_kernel<Real, kWidth>, x,
                 chunks_of(x), c / kWidth, dy.data<Real>(), x.data<Real>(), mean.data<Real>(),
                 chunks_of(x), partials);
  });
  const AffineGradients<Real> affine{data_or_null<Real>(to.dgamma), data_or_null<Real>(to.dbeta),
                                     to.dgamma_write == Write::accumulate,
                                     to.dbeta_write == Write::accumulate};
  launch_joint("batch_norm.join_gradients", join_gradients_kernel<Real>, x, c, partials,
               inverse_std, affine);
}

void run_backward_train(const Tensor& dy, const Tensor& x, const Tensor& gamma, const Tensor& mean,
                        const Tensor& inv_std, const Tensor& scratch,
                        const BatchNormGradients& to) {
  const std::int64_t c = channels(x);
  for_real("batch_norm", x.dtype(), [&]<typename Real>() {
    sum_gradients<Real>(dy, x, mean, {inv_std.data<Real>(), nullptr, Real(0)}, scratch, to);
    if (!to.dx.defined()) return;
    for_pack_width(c, {dy, x, to.dx}, [&]<int kWidth>() {
      launch_parts("batch_norm.backward_train", backward_train_kernel<Real, kWidth>, x,
                   chunks_of(x), c / kWidth, dy.data<Real>(), x.data<Real>(), gamma.data<Real>(),
                   mean.data<Real>(), inv_std.data<Real>(), chunks_of(x),
                   partials_in<Real>(scratch, x), to.dx.data<Real>(),
                   to.dx_write == Write::accumulate);
    });
  });
}

void run_backward_eval(const Tensor& dy, const Tensor& x, const Tensor& gamma,
                       const Tensor& running_mean, const Tensor& running_var,
                       const BatchNormParams& params, const Tensor& scratch,
                       const BatchNormGradients& to) {
  const std::int64_t c = channels(x);
  for_real("batch_norm", x.dtype(), [&]<typename Real>() {
    const InverseStd<Real> inverse_std{nullptr, running_var.data<Real>(),
                                       static_cast<Real>(params.eps)};
    if (to.dgamma.defined() || to.dbeta.defined()) {
      sum_gradients<Real>(dy, x, running_mean, inverse_std, scratch, to);
    }
    if (!to.dx.defined()) return;
    for_pack_width(c, {dy, to.dx}, [&]<int kWidth>() {
      launch_parts("batch_norm.backward_eval", backward_eval_kernel<Real, kWidth>, x, chunks_of(x),
                   c / kWidth, dy.data<Real>(), gamma.data<Real>(), inverse_std, chunks_of(x), c,
                   to.dx.data<Real>(), to.dx_write == Write::accumulate);
    });
  });
}

}  // namespace

template <typename Target>
BatchNormOp BatchNormOp::hand() {
  return {.dtypes = kReal,
          .forward_train = run_forward_train,
          .forward_eval = run_forward_eval,
          .backward_train = run_backward_train,
          .backward_eval = run_backward_eval};
}
template BatchNormOp BatchNormOp::hand<simt::Target>();

}  // namespace cucina
