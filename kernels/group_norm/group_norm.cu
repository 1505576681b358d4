// group_norm's hand-written kernels: moments or sums down the columns of every example's (h w, c),
// a team of threads that joins the columns of a group, and the elementwise rest.
#include "kernels/common/column_moments.h"
#include "kernels/common/column_sums.h"
#include "kernels/common/pack.h"
#include "kernels/common/row_team.h"
#include "kernels/group_norm/group_norm.h"
#include "kernels/simt/simt.h"

namespace cucina {
namespace {

// The columns of a group of a sample, in all its slabs: what its team joins.
template <typename Real>
struct GroupColumns {
  ColumnChunks chunks;
  ColumnSums<Real> sums;
  std::int64_t groups, width;  // width: channels of a group

  __device__ __forceinline__ std::int64_t size() const { return chunks.slabs * width; }
  struct Place {
    std::int64_t slab, group, channel;  // group: of the sums
  };
  __device__ __forceinline__ Place place(std::int64_t row, std::int64_t k) const {
    const std::int64_t sample = row / groups, slab = k / width;
    return {slab, sample * chunks.slabs + slab, (row - sample * groups) * width + k - slab * width};
  }
};

// Joins columns' moments as column_moments_kernel does the lanes'.
template <typename Real, typename Team>
__global__ void __launch_bounds__(256)
    join_moments_kernel(GroupColumns<Real> columns, Real eps, Real* mean, Real* inv_std) {
  const ColumnChunks& chunks = columns.chunks;
  const std::int64_t row = Team::row();
  if (row >= chunks.samples * columns.groups) return;
  const std::int64_t slab_length = chunks.length * chunks.lanes;
  const auto first = columns.place(row, 0);
  const Real start = columns.sums.first(first.group)[first.channel];
  const Real share = Real(1) / static_cast<Real>(chunks.rows * columns.width);
  Real distances[Team::kSlots] = {}, squares[Team::kSlots] = {};
  Team::for_parts(columns.size(), false, [&]<int kWidth>(std::int64_t k, int slot) {
    for (int j = 0; j < kWidth; ++j) {
      const auto at = columns.place(row, k + j);
      const Real m = static_cast<Real>(rows_of(at.slab, slab_length, chunks.rows));
      distances[slot + j] =
          fma(m, columns.sums.first(at.group)[at.channel] - start, distances[slot + j]);
    }
  });
  const Real center = finite_or_nan(fma(Team::template sum<0>(distances), share, start));
  Team::for_parts(columns.size(), false, [&]<int kWidth>(std::int64_t k, int slot) {
    for (int j = 0; j < kWidth; ++j) {
      const auto at = columns.place(row, k + j);
      const Real m = static_cast<Real>(rows_of(at.slab, slab_length, chunks.rows));
      const Real distance = columns.sums.first(at.group)[at.channel] - center;
      squares[slot + j] += fma(m * distance, distance, columns.sums.second(at.group)[at.channel]);
    }
  });
  const Real var = Team::template sum<1>(squares) * share;
  if (Team::lane() == 0) {
    mean[row] = center;
    inv_std[row] = Real(1) / sqrt(var + eps);
  }
}

// Per group the means of gamma dy and of gamma dy times the normalised x.
template <typename Real, typename Team>
__global__ void __launch_bounds__(256)
    join_sums_kernel(GroupColumns<Real> columns, const Real* gamma, Real* constants, Real* slopes) {
  const ColumnChunks& chunks = columns.chunks;
  const std::int64_t row = Team::row();
  if (row >= chunks.samples * columns.groups) return;
  Real firsts[Team::kSlots] = {}, seconds[Team::kSlots] = {};
  Team::for_parts(columns.size(), false, [&]<int kWidth>(std::int64_t k, int slot) {
    for (int j = 0; j < kWidth; ++j) {
      const auto at = columns.place(row, k + j);
      const Real scale = gamma != nullptr ? gamma[at.channel] : Real(1);
      firsts[slot + j] = fma(scale, columns.sums.first(at.group)[at.channel], firsts[slot + j]);
      seconds[slot + j] = fma(scale, columns.sums.second(at.group)[at.channel], seconds[slot + j]);
    }
  });
  const Real share = Real(1) / static_cast<Real>(chunks.rows * columns.width);
  const Real first = Team::template sum<0>(firsts), second = Team::template sum<1>(seconds);
  if (Team::lane() == 0) {
    constants[row] = first * share;
    slopes[row] = second * share;
  }
}

template <typename Real>
struct Channels {
  const Real* gamma;  // null: 1
  const Real* beta;   // null: 0
  const Real* mean;
  const Real* inv_std;
  std::int64_t groups, width;

  __device__ __forceinline__ std::int64_t group(std::int64_t sample, std::int64_t channel) const {
    return sample * groups + channel / width;
  }
  template <int kWidth>
  __device__ __forceinline__ Pack<Real, kWidth> scales(std::int64_t channel) const {
    Pack<Real, kWidth> pack;
    for (int j = 0; j < kWidth; ++j) {
      pack.at[j] = gamma != nullptr ? gamma[channel + j] : Real(1);
    }
    return pack;
  }
};

template <typename T, int kWidth>
__global__ void __launch_bounds__(256)
    normalize_kernel(const T* x, Channels<Compute<T>> channels, ColumnChunks chunks, T* y) {
  using Real = Compute<T>;
  const ColumnPart part = column_part<kWidth>(chunks);
  if (!part.inside) return;
  Pack<Real, kWidth> center, scale = channels.template scales<kWidth>(part.column), shift;
  for (int j = 0; j < kWidth; ++j) {
    const std::int64_t group = channels.group(part.sample, part.column + j);
    center.at[j] = channels.mean[group];
    scale.at[j] *= channels.inv_std[group];
    shift.at[j] = channels.beta != nullptr ? channels.beta[part.column + j] : Real(0);
  }
  for_rows(
      part, [&](std::int64_t row) { return load_pack<kWidth>(x + row * chunks.c + part.column); },
      [&](std::int64_t row, const Pack<T, kWidth>& value) {
        Pack<Real, kWidth> result;
        // Not x scale + (shift - center scale), which cancels when |mean| >> std.
        for (int j = 0; j < kWidth; ++j) {
          result.at[j] =
              fma(static_cast<Real>(value.at[j]) - center.at[j], scale.at[j], shift.at[j]);
        }
        store_rounded(result, y + row * chunks.c + part.column);
      });
}

template <typename T, int kWidth>
struct Gradient {
  Pack<T, kWidth> dy, x;
};

template <int kWidth, typename T>
__device__ __forceinline__ Gradient<T, kWidth> load_gradient(const T* dy, const T* x,
                                                             std::int64_t at) {
  return {load_pack<kWidth>(dy + at), load_pack<kWidth>(x + at)};
}

// Per sample and channel the sums of dy and of dy times the normalised x.
template <typename T>
struct AffinePairs {
  const T* dy;
  const T* x;
  Channels<Compute<T>> channels;
  std::int64_t c;

  template <int kWidth>
  __device__ __forceinline__ void sum(const ColumnPart& part, Pack<Compute<T>, kWidth>& first,
                                      Pack<Compute<T>, kWidth>& second) const {
    using Real = Compute<T>;
    Pack<Real, kWidth> center, inv_std;
    for (int j = 0; j < kWidth; ++j) {
      const std::int64_t group = channels.group(part.sample, part.column + j);
      center.at[j] = channels.mean[group];
      inv_std.at[j] = channels.inv_std[group];
    }
    for_rows(
        part, [&](std::int64_t row) { return load_gradient<kWidth>(dy, x, row * c + part.column); },
        [&](std::int64_t, const Gradient<T, kWidth>& loaded) {
          for (int j = 0; j < kWidth; ++j) {
            const Real gradient = static_cast<Real>(loaded.dy.at[j]);
            const Real distance = static_cast<Real>(loaded.x.at[j]) - center.at[j];
            first.at[j] += gradient;
            second.at[j] = fma(gradient, distance * inv_std.at[j], second.at[j]);
          }
        });
  }
};

// dx = (g - mean(g) - xhat mean(g xhat)) / std with g = gamma dy: what of g is not along the
// constant or the normalised x, as mean and var follow x.
template <typename T, int kWidth>
__global__ void __launch_bounds__(256)
    input_gradient_kernel(const T* dy, const T* x, Channels<Compute<T>> channels,
                          ColumnChunks chunks, const Compute<T>* constants,
                          const Compute<T>* slopes, bool accumulate, T* dx) {
  using Real = Compute<T>;
  const ColumnPart part = column_part<kWidth>(chunks);
  if (!part.inside) return;
  const auto scale = channels.template scales<kWidth>(part.column);
  Pack<Real, kWidth> center, inv_std, constant, slope;
  for (int j = 0; j < kWidth; ++j) {
    const std::int64_t group = channels.group(part.sample, part.column + j);
    center.at[j] = channels.mean[group];
    inv_std.at[j] = channels.inv_std[group];
    constant.at[j] = constants[group];
    slope.at[j] = slopes[group] * channels.inv_std[group];
  }
  for_rows(
      part,
      [&](std::int64_t row) { return load_gradient<kWidth>(dy, x, row * chunks.c + part.column); },
      [&](std::int64_t row, const Gradient<T, kWidth>& loaded) {
        Pack<Real, kWidth> result;
        for (int j = 0; j < kWidth; ++j) {
          const Real gradient = static_cast<Real>(loaded.dy.at[j]);
          const Real distance = static_cast<Real>(loaded.x.at[j]) - center.at[j];
          const Real rest = fma(gradient, scale.at[j], -constant.at[j]);
          result.at[j] = fma(-slope.at[j], distance, rest) * inv_std.at[j];
        }
        store_rounded(result, dx + row * chunks.c + part.column, accumulate);
      });
}

// --- launches ---

ColumnChunks chunks_of(const Tensor& x) {
  const std::int64_t n = x.size(0), c = x.size(-1);
  return column_chunks(n, n == 0 ? 0 : x.elements() / n / c, c);
}

template <typename T>
T* data_or_null(const Tensor& tensor) {
  return tensor.defined() ? tensor.data<T>() : nullptr;
}

void run_forward(const Tensor& x, const Tensor& gamma, const Tensor& beta,
                 const GroupNormParams& params, const Tensor& scratch, const Tensor& y,
                 const Tensor& mean, const Tensor& inv_std) {
  const ColumnChunks chunks = chunks_of(x);
  for_floating("group_norm", x.dtype(), [&]<typename T>() {
    using Real = Compute<T>;
    const std::int64_t width = chunks.c / params.groups;
    const GroupColumns<Real> columns{chunks, column_sums_in<Real>(scratch, chunks), params.groups,
                                     width};
    for_pack_width(chunks.c, {x, scratch}, [&]<int kWidth>() {
      launch_column_parts<kWidth>("group_norm.moments", column_moments_kernel<T, kWidth>,
                                  x.stream(), chunks, x.data<T>(), chunks, columns.sums);
    });
    for_row_team(chunks.slabs * width, [&](auto team) {
      using Team = decltype(team);
      launch_rows<Team>("group_norm.join_moments", join_moments_kernel<Real, Team>, x.stream(),
                        chunks.samples * params.groups, columns, static_cast<Real>(params.eps),
                        mean.data<Real>(), inv_std.data<Real>());
    });
    const Channels<Real> channels{data_or_null<Real>(gamma),
                                  data_or_null<Real>(beta),
                                  mean.data<Real>(),
                                  inv_std.data<Real>(),
                                  params.groups,
                                  width};
    for_pack_width(chunks.c, {x, y}, [&]<int kWidth>() {
      launch_column_parts<kWidth>("group_norm.forward", normalize_kernel<T, kWidth>, x.stream(),
                                  chunks, x.data<T>(), channels, chunks, y.data<T>());
    });
  });
}

void run_backward(const Tensor& dy, const GroupNormSaved& saved, const Tensor& scratch,
                  const GroupNormGradients& to) {
  const Tensor& x = saved.x;
  const ColumnChunks chunks = chunks_of(x);
  for_floating("group_norm", x.dtype(), [&]<typename T>() {
    using Real = Compute<T>;
    using Pairs = AffinePairs<T>;
    const std::int64_t groups = saved.mean.size(1), width = chunks.c / groups;
    const GroupColumns<Real> columns{chunks, column_sums_in<Real>(scratch, chunks), groups, width};
    const Channels<Real> channels{data_or_null<Real>(saved.gamma), nullptr, saved.mean.data<Real>(),
                                  saved.inv_std.data<Real>(),      groups,  width};
    const Pairs pairs{dy.data<T>(), x.data<T>(), channels, chunks.c};
    for_pack_width(chunks.c, {dy, x, scratch}, [&]<int kWidth>() {
      launch_column_parts<kWidth>("group_norm.sums", column_pairs_kernel<Pairs, Real, kWidth>,
                                  x.stream(), chunks, pairs, chunks, columns.sums);
    });
    if (to.dgamma.defined() || to.dbeta.defined()) {
      const AffineGradients<Real> finish{
          data_or_null<Real>(to.dbeta), data_or_null<Real>(to.dgamma),
          to.dbeta_write == Write::accumulate, to.dgamma_write == Write::accumulate};
      launch_joining("group_norm.backward_affine",
                     join_column_pairs_kernel<Real, AffineGradients<Real>>, x.stream(), chunks,
                     columns.sums, finish);
    }
    if (!to.dx.defined()) return;
    Real* constants = scratch.data<Real>() + chunks.scratch();
    Real* slopes = constants + chunks.samples * groups;
    for_row_team(columns.chunks.slabs * width, [&](auto team) {
      using Team = decltype(team);
      launch_rows<Team>("group_norm.join_sums", join_sums_kernel<Real, Team>, x.stream(),
                        chunks.samples * groups, columns, channels.gamma, constants, slopes);
    });
    for_pack_width(chunks.c, {dy, x, to.dx}, [&]<int kWidth>() {
      launch_column_parts<kWidth>("group_norm.backward_input", input_gradient_kernel<T, kWidth>,
                                  x.stream(), chunks, dy.data<T>(), x.data<T>(), channels, chunks,
                                  constants, slopes, to.dx_write == Write::accumulate,
                                  to.dx.data<T>());
    });
  });
}

}  // namespace

template <typename Target>
GroupNormOp GroupNormOp::hand() {
  return {.dtypes = kFloating, .forward = run_forward, .backward = run_backward};
}
template GroupNormOp GroupNormOp::hand<simt::Target>();

}  // namespace cucina
