// batch_norm's hand-written kernels: moments or sums down the columns of (rows, c), a row being one
// pixel's channels, and the elementwise rest.
#include "kernels/batch_norm/batch_norm.h"
#include "kernels/common/activation.h"
#include "kernels/common/column_moments.h"
#include "kernels/common/column_sums.h"
#include "kernels/common/pack.h"
#include "kernels/simt/simt.h"

namespace cucina {
namespace {

// What becomes of a batch's statistics.
template <typename Real>
struct Statistics {
  Real* mean;
  Real* inv_std;
  Real* running_mean;
  Real* running_var;
  Real momentum, eps;

  __device__ void put(std::int64_t channel, Real batch_mean, Real squares,
                      std::int64_t rows) const {
    const Real m = static_cast<Real>(rows > 0 ? rows : 1);
    mean[channel] = batch_mean;
    inv_std[channel] = Real(1) / sqrt(squares / m + eps);
    if (rows < 2) return;
    const Real keep = Real(1) - momentum;
    running_mean[channel] = fma(momentum, batch_mean, keep * running_mean[channel]);
    running_var[channel] = fma(momentum, squares / (m - Real(1)), keep * running_var[channel]);
  }
};

// Joins the slabs' moments as column_moments_kernel does the lanes'.
template <typename Real>
__global__ void __launch_bounds__(256)
    join_moments_kernel(ColumnChunks chunks, ColumnSums<Real> sums, Statistics<Real> statistics) {
  __shared__ JoiningLanes<Real> means, squares;
  const std::int64_t channel = joined_column();
  const bool inside = channel < chunks.c && chunks.rows > 0;
  const std::int64_t slab_length = chunks.length * chunks.lanes;
  const std::int64_t first_slab = threadIdx.y, slabs_apart = blockDim.y;
  const Real start = inside ? sums.first(0)[channel] : Real(0);
  Real sum = 0;
  if (inside) {
    read_ahead(
        first_slab, chunks.slabs, slabs_apart,
        [&](std::int64_t slab) { return sums.first(slab)[channel]; },
        [&](std::int64_t slab, Real slab_mean) {
          const Real m = static_cast<Real>(rows_of(slab, slab_length, chunks.rows));
          sum = fma(m, slab_mean - start, sum);
        });
  }
  const Real share = Real(1) / static_cast<Real>(chunks.rows > 0 ? chunks.rows : 1);
  const Real mean = fma(means.sum(sum), share, start);
  Real squared = 0;
  if (inside) {
    struct Both {
      Real mean, squares;
    };
    read_ahead(
        first_slab, chunks.slabs, slabs_apart,
        [&](std::int64_t slab) {
          return Both{sums.first(slab)[channel], sums.second(slab)[channel]};
        },
        [&](std::int64_t slab, const Both& both) {
          const Real m = static_cast<Real>(rows_of(slab, slab_length, chunks.rows));
          const Real distance = both.mean - mean;
          squared += fma(m * distance, distance, both.squares);
        });
  }
  squared = squares.sum(squared);
  if (channel < chunks.c && threadIdx.y == 0) {
    statistics.put(channel, finite_or_nan(mean), squared, chunks.rows);
  }
}

// One thread's channels: before = (x - center) scale + shift, scale = gamma inv_std.
template <typename Real, int kWidth>
struct Constants {
  Pack<Real, kWidth> center, inv_std, scale, shift;

  // Not x scale + (shift - center scale), which cancels when |mean| >> std.
  __device__ __forceinline__ Real before(Real x, int j) const {
    return fma(x - center.at[j], scale.at[j], shift.at[j]);
  }
};

template <typename Real>
struct Channels {
  const Real* gamma;
  const Real* beta;
  const Real* mean;
  const Real* inv_std;  // null: from var
  const Real* var;
  Real eps;

  template <int kWidth>
  __device__ __forceinline__ Constants<Real, kWidth> at(std::int64_t channel) const {
    Constants<Real, kWidth> to;
    for (int j = 0; j < kWidth; ++j) {
      to.center.at[j] = mean[channel + j];
      to.inv_std.at[j] =
          inv_std != nullptr ? inv_std[channel + j] : Real(1) / sqrt(var[channel + j] + eps);
      to.scale.at[j] = gamma[channel + j] * to.inv_std.at[j];
      to.shift.at[j] = beta[channel + j];
    }
    return to;
  }
};

template <typename T, int kWidth>
__global__ void __launch_bounds__(256)
    normalize_kernel(const T* x, const T* residual, Channels<Compute<T>> channels,
                     ColumnChunks chunks, bool relu, T* y) {
  const ColumnPart part = column_part<kWidth>(chunks);
  if (!part.inside) return;
  const auto constants = channels.template at<kWidth>(part.column);
  struct Loaded {
    Pack<T, kWidth> x, residual;
  };
  const auto load = [&](std::int64_t row) {
    const std::int64_t at = row * chunks.c + part.column;
    Loaded loaded;
    loaded.x = load_pack<kWidth>(x + at);
    loaded.residual = residual != nullptr ? load_pack<kWidth>(residual + at) : Pack<T, kWidth>{};
    return loaded;
  };
  for_rows(part, load, [&](std::int64_t row, const Loaded& loaded) {
    Pack<Compute<T>, kWidth> result;
    for (int j = 0; j < kWidth; ++j) {
      result.at[j] = constants.before(static_cast<Compute<T>>(loaded.x.at[j]), j);
    }
    if (residual != nullptr) {
      for (int j = 0; j < kWidth; ++j) {
        result.at[j] += static_cast<Compute<T>>(loaded.residual.at[j]);
      }
    }
    if (relu) {
      for (int j = 0; j < kWidth; ++j) {
        result.at[j] = activation::value<Activation::relu>(result.at[j]);
      }
    }
    store_rounded(result, y + row * chunks.c + part.column);
  });
}

// dy as it comes out of relu. What relu let through is computed anew from x, as forward did: that
// is cheaper than reading y. With a residual, y says it.
template <typename T>
struct PassedGradient {
  const T* dy;
  const T* x;
  const T* y;  // null unless relu and a residual
  bool relu;
  std::int64_t c;

  template <int kWidth>
  struct Loaded {
    Pack<T, kWidth> dy, x, y;
  };

  template <int kWidth>
  __device__ __forceinline__ Loaded<kWidth> load(std::int64_t row, std::int64_t column,
                                                 bool with_x) const {
    const std::int64_t at = row * c + column;
    Loaded<kWidth> loaded;
    loaded.dy = load_pack<kWidth>(dy + at);
    loaded.x = with_x ? load_pack<kWidth>(x + at) : Pack<T, kWidth>{};
    loaded.y = y != nullptr ? load_pack<kWidth>(y + at) : Pack<T, kWidth>{};
    return loaded;
  }

  template <int kWidth>
  __device__ __forceinline__ Pack<Compute<T>, kWidth> passed(
      const Loaded<kWidth>& loaded, const Constants<Compute<T>, kWidth>& constants) const {
    using Real = Compute<T>;
    Pack<Real, kWidth> gradient;
    for (int j = 0; j < kWidth; ++j) gradient.at[j] = static_cast<Real>(loaded.dy.at[j]);
    if (!relu) return gradient;
    for (int j = 0; j < kWidth; ++j) {
      const Real output = y != nullptr ? static_cast<Real>(loaded.y.at[j])
                                       : constants.before(static_cast<Real>(loaded.x.at[j]), j);
      gradient.at[j] = output > Real(0) ? gradient.at[j] : Real(0);
    }
    return gradient;
  }
};

// Per channel the sums of the gradient and of the gradient times the normalised x; on the way, the
// residual's gradient.
template <typename T>
struct AffinePairs {
  PassedGradient<T> gradients;
  Channels<Compute<T>> channels;
  T* dresidual;  // may be null
  bool add_residual;

  template <int kWidth>
  __device__ __forceinline__ void sum(const ColumnPart& part, Pack<Compute<T>, kWidth>& first,
                                      Pack<Compute<T>, kWidth>& second) const {
    using Real = Compute<T>;
    const auto constants = channels.template at<kWidth>(part.column);
    for_rows(
        part,
        [&](std::int64_t row) { return gradients.template load<kWidth>(row, part.column, true); },
        [&](std::int64_t row, const auto& loaded) {
          const auto gradient = gradients.template passed<kWidth>(loaded, constants);
          for (int j = 0; j < kWidth; ++j) {
            const Real distance = static_cast<Real>(loaded.x.at[j]) - constants.center.at[j];
            first.at[j] += gradient.at[j];
            second.at[j] = fma(gradient.at[j], distance * constants.inv_std.at[j], second.at[j]);
          }
          if (dresidual != nullptr) {
            store_rounded(gradient, dresidual + row * gradients.c + part.column, add_residual);
          }
        });
  }
};

// Leaves the sums where input_gradient_kernel reads them, too.
template <typename Real>
struct KeepAndDeliver {
  ColumnSums<Real> sums;
  AffineGradients<Real> gradients;
  __device__ void operator()(std::int64_t channel, Real first, Real second) const {
    sums.first_total()[channel] = first;
    sums.second_total()[channel] = second;
    gradients(channel, first, second);
  }
};

// While training dx = scale (dy - dbeta / m - (x - mean) / std dgamma / m): what of dy is not along
// the constant or x itself, as mean and var follow x. Else dx = scale dy.
template <typename T, int kWidth>
__global__ void __launch_bounds__(256)
    input_gradient_kernel(PassedGradient<T> gradients, Channels<Compute<T>> channels,
                          ColumnChunks chunks, bool training, ColumnSums<Compute<T>> sums, T* dx,
                          bool accumulate) {
  using Real = Compute<T>;
  const ColumnPart part = column_part<kWidth>(chunks);
  if (!part.inside) return;
  const auto constants = channels.template at<kWidth>(part.column);
  Pack<Real, kWidth> constant = {}, slope = {};
  if (training) {
    const Real share = Real(1) / static_cast<Real>(chunks.rows);
    for (int j = 0; j < kWidth; ++j) {
      constant.at[j] = sums.first_total()[part.column + j] * share;
      slope.at[j] = sums.second_total()[part.column + j] * share * constants.inv_std.at[j];
    }
  }
  const bool with_x = training || (gradients.relu && gradients.y == nullptr);
  for_rows(
      part,
      [&](std::int64_t row) { return gradients.template load<kWidth>(row, part.column, with_x); },
      [&](std::int64_t row, const auto& loaded) {
        auto gradient = gradients.template passed<kWidth>(loaded, constants);
        if (training) {
          for (int j = 0; j < kWidth; ++j) {
            const Real distance = static_cast<Real>(loaded.x.at[j]) - constants.center.at[j];
            gradient.at[j] = fma(-slope.at[j], distance, gradient.at[j] - constant.at[j]);
          }
        }
        for (int j = 0; j < kWidth; ++j) gradient.at[j] *= constants.scale.at[j];
        store_rounded(gradient, dx + row * chunks.c + part.column, accumulate);
      });
}

// --- launches ---

ColumnChunks chunks_of(const Tensor& x) {
  return column_chunks(1, x.elements() / x.size(-1), x.size(-1));
}

template <typename T>
T* data_or_null(const Tensor& tensor) {
  return tensor.defined() ? tensor.data<T>() : nullptr;
}

template <typename T>
void normalize(const char* name, const BatchNormInputs& in, const BatchNormParams& params,
               const Channels<Compute<T>>& channels, const Tensor& y) {
  const Tensor& x = in.x;
  const ColumnChunks chunks = chunks_of(x);
  if (chunks.rows == 0) return;
  for_pack_width(chunks.c, {x, y, in.residual}, [&]<int kWidth>() {
    launch_column_parts<kWidth>(name, normalize_kernel<T, kWidth>, x.stream(), chunks, x.data<T>(),
                                data_or_null<T>(in.residual), channels, chunks, params.relu,
                                y.data<T>());
  });
}

void run_forward_train(const BatchNormInputs& in, const BatchNormParams& params,
                       const Tensor& scratch, const Tensor& y, const Tensor& mean,
                       const Tensor& inv_std) {
  const Tensor& x = in.x;
  const ColumnChunks chunks = chunks_of(x);
  for_floating("batch_norm", x.dtype(), [&]<typename T>() {
    using Real = Compute<T>;
    const auto sums = column_sums_in<Real>(scratch, chunks);
    for_pack_width(chunks.c, {x, scratch}, [&]<int kWidth>() {
      launch_column_parts<kWidth>("batch_norm.moments", column_moments_kernel<T, kWidth>,
                                  x.stream(), chunks, x.data<T>(), chunks, sums);
    });
    const Statistics<Real> statistics{mean.data<Real>(),
                                      inv_std.data<Real>(),
                                      in.running_mean.data<Real>(),
                                      in.running_var.data<Real>(),
                                      static_cast<Real>(params.momentum),
                                      static_cast<Real>(params.eps)};
    launch_joining("batch_norm.join_moments", join_moments_kernel<Real>, x.stream(), chunks, chunks,
                   sums, statistics);
    normalize<T>("batch_norm.forward_train", in, params,
                 {in.gamma.data<Real>(), in.beta.data<Real>(), mean.data<Real>(),
                  inv_std.data<Real>(), nullptr, Real(0)},
                 y);
  });
}

void run_forward_eval(const BatchNormInputs& in, const BatchNormParams& params, const Tensor& y) {
  for_floating("batch_norm", in.x.dtype(), [&]<typename T>() {
    using Real = Compute<T>;
    normalize<T>("batch_norm.forward_eval", in, params,
                 {in.gamma.data<Real>(), in.beta.data<Real>(), in.running_mean.data<Real>(),
                  nullptr, in.running_var.data<Real>(), static_cast<Real>(params.eps)},
                 y);
  });
}

template <typename T>
void run_backward(const char* name, const Tensor& dy, const BatchNormSaved& saved,
                  const Channels<Compute<T>>& channels, const BatchNormParams& params,
                  const Tensor& scratch, const BatchNormGradients& to) {
  using Real = Compute<T>;
  const Tensor& x = saved.x;
  const ColumnChunks chunks = chunks_of(x);
  const auto sums = column_sums_in<Real>(scratch, chunks);
  const Tensor y = params.relu && saved.residual ? saved.y : Tensor();
  const PassedGradient<T> gradients{dy.data<T>(), x.data<T>(), data_or_null<T>(y), params.relu,
                                    chunks.c};
  if (params.training || to.dgamma.defined() || to.dbeta.defined() || to.dresidual.defined()) {
    using Pairs = AffinePairs<T>;
    const Pairs pairs{gradients, channels, data_or_null<T>(to.dresidual),
                      to.dresidual_write == Write::accumulate};
    for_pack_width(chunks.c, {dy, x, y, to.dresidual, scratch}, [&]<int kWidth>() {
      launch_column_parts<kWidth>("batch_norm.sums", column_pairs_kernel<Pairs, Real, kWidth>,
                                  x.stream(), chunks, pairs, chunks, sums);
    });
    const KeepAndDeliver<Real> finish{
        sums,
        {data_or_null<Real>(to.dbeta), data_or_null<Real>(to.dgamma),
         to.dbeta_write == Write::accumulate, to.dgamma_write == Write::accumulate}};
    launch_joining("batch_norm.join_sums", join_column_pairs_kernel<Real, KeepAndDeliver<Real>>,
                   x.stream(), chunks, sums, finish);
  }
  if (!to.dx.defined() || chunks.rows == 0) return;
  for_pack_width(chunks.c, {dy, x, y, to.dx}, [&]<int kWidth>() {
    launch_column_parts<kWidth>(name, input_gradient_kernel<T, kWidth>, x.stream(), chunks,
                                gradients, channels, chunks, params.training, sums, to.dx.data<T>(),
                                to.dx_write == Write::accumulate);
  });
}

void run_backward_train(const Tensor& dy, const BatchNormSaved& saved,
                        const BatchNormParams& params, const Tensor& scratch,
                        const BatchNormGradients& to) {
  for_floating("batch_norm", dy.dtype(), [&]<typename T>() {
    using Real = Compute<T>;
    run_backward<T>("batch_norm.backward_train", dy, saved,
                    {saved.gamma.data<Real>(), saved.beta.data<Real>(), saved.mean.data<Real>(),
                     saved.spread.data<Real>(), nullptr, Real(0)},
                    params, scratch, to);
  });
}

void run_backward_eval(const Tensor& dy, const BatchNormSaved& saved, const BatchNormParams& params,
                       const Tensor& scratch, const BatchNormGradients& to) {
  for_floating("batch_norm", dy.dtype(), [&]<typename T>() {
    using Real = Compute<T>;
    run_backward<T>("batch_norm.backward_eval", dy, saved,
                    {saved.gamma.data<Real>(), saved.beta.data<Real>(), saved.mean.data<Real>(),
                     nullptr, saved.spread.data<Real>(), static_cast<Real>(params.eps)},
                    params, scratch, to);
  });
}

}  // namespace

template <typename Target>
BatchNormOp BatchNormOp::hand() {
  return {.dtypes = kFloating,
          .forward_train = run_forward_train,
          .forward_eval = run_forward_eval,
          .backward_train = run_backward_train,
          .backward_eval = run_backward_eval};
}
template BatchNormOp BatchNormOp::hand<simt::Target>();

}  // namespace cucina
