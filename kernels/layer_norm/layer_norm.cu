// layer_norm's hand-written kernels: a team of threads per row; sums down the columns for gamma and
// beta.
#include "kernels/common/column_moments.h"
#include "kernels/common/column_sums.h"
#include "kernels/common/row_team.h"
#include "kernels/layer_norm/layer_norm.h"
#include "kernels/simt/simt.h"

namespace cucina {
namespace {

template <typename T>
struct Rows {
  const T* x;
  const Compute<T>* gamma;  // null: 1
  std::int64_t rows, columns;
  bool whole;  // parts may be loaded at once
  Compute<T>* mean;
  Compute<T>* inv_std;

  template <int kWidth>
  __device__ __forceinline__ RowElements<Compute<T>, kWidth> scales(std::int64_t k) const {
    return row_elements<kWidth>(gamma + k);
  }
};

// The mean first, counted from the row's first element, then the squared distances from it: what is
// subtracted is near, so a mean far larger than the deviation costs no digits. The row comes from
// memory once; again and again from a cache.
template <typename T, typename Team>
__global__ void __launch_bounds__(256)
    normalize_rows_kernel(Rows<T> rows, const Compute<T>* beta, Compute<T> eps, T* y) {
  using Real = Compute<T>;
  const std::int64_t row = Team::row(), n = rows.columns;
  if (row >= rows.rows) return;
  const T* x = rows.x + row * n;
  const Real start = static_cast<Real>(x[0]), share = Real(1) / static_cast<Real>(n);
  Real distances[Team::kSlots] = {};
  Team::for_parts(n, rows.whole, [&]<int kWidth>(std::int64_t k, int slot) {
    const auto values = row_elements<kWidth>(x + k);
    for (int j = 0; j < kWidth; ++j) distances[slot + j] += values[j] - start;
  });
  const Real mean = finite_or_nan(fma(Team::template sum<0>(distances), share, start));
  Real squares[Team::kSlots] = {};
  Team::for_parts(n, rows.whole, [&]<int kWidth>(std::int64_t k, int slot) {
    const auto values = row_elements<kWidth>(x + k);
    for (int j = 0; j < kWidth; ++j) {
      const Real distance = values[j] - mean;
      squares[slot + j] = fma(distance, distance, squares[slot + j]);
    }
  });
  const Real inv_std = Real(1) / sqrt(fma(Team::template sum<1>(squares), share, eps));
  if (Team::lane() == 0) {
    rows.mean[row] = mean;
    rows.inv_std[row] = inv_std;
  }
  T* to = y + row * n;
  Team::for_parts(n, rows.whole, [&]<int kWidth>(std::int64_t k, int) {
    const auto values = row_elements<kWidth>(x + k);
    if (rows.gamma == nullptr && beta == nullptr) {
      store_elements<kWidth>(to + k, false, [&](int j) { return (values[j] - mean) * inv_std; });
    } else if (beta == nullptr) {
      const auto scales = rows.template scales<kWidth>(k);
      store_elements<kWidth>(to + k, false,
                             [&](int j) { return (values[j] - mean) * inv_std * scales[j]; });
    } else if (rows.gamma == nullptr) {
      const auto shifts = row_elements<kWidth>(beta + k);
      store_elements<kWidth>(to + k, false,
                             [&](int j) { return fma(values[j] - mean, inv_std, shifts[j]); });
    } else {
      const auto scales = rows.template scales<kWidth>(k);
      const auto shifts = row_elements<kWidth>(beta + k);
      store_elements<kWidth>(to + k, false, [&](int j) {
        return fma((values[j] - mean) * inv_std, scales[j], shifts[j]);
      });
    }
  });
}

// With g = gamma dy, dx = (g - mean(g) - xhat mean(g xhat)) / std: what of g is not along the
// constant or the normalised row, as mean and var follow x.
template <typename T, typename Team>
__global__ void __launch_bounds__(256)
    input_gradient_kernel(Rows<T> rows, const T* dy, bool accumulate, T* dx) {
  using Real = Compute<T>;
  const std::int64_t row = Team::row(), n = rows.columns;
  if (row >= rows.rows) return;
  const T* x = rows.x + row * n;
  const T* gradients = dy + row * n;
  const Real mean = rows.mean[row], inv_std = rows.inv_std[row];
  Real constants[Team::kSlots] = {}, slopes[Team::kSlots] = {};
  Team::for_parts(n, rows.whole, [&]<int kWidth>(std::int64_t k, int slot) {
    const auto values = row_elements<kWidth>(x + k), gradient = row_elements<kWidth>(gradients + k);
    const auto add = [&](int j, Real scaled) {
      constants[slot + j] += scaled;
      slopes[slot + j] = fma(scaled, values[j] - mean, slopes[slot + j]);
    };
    if (rows.gamma == nullptr) {
      for (int j = 0; j < kWidth; ++j) add(j, gradient[j]);
    } else {
      const auto scales = rows.template scales<kWidth>(k);
      for (int j = 0; j < kWidth; ++j) add(j, gradient[j] * scales[j]);
    }
  });
  const Real share = Real(1) / static_cast<Real>(n);
  const Real constant = Team::template sum<0>(constants) * share;
  const Real slope = Team::template sum<1>(slopes) * share * inv_std * inv_std;
  T* to = dx + row * n;
  Team::for_parts(n, rows.whole, [&]<int kWidth>(std::int64_t k, int) {
    const auto values = row_elements<kWidth>(x + k), gradient = row_elements<kWidth>(gradients + k);
    const auto result = [&](int j, Real scaled) {
      return fma(-slope, values[j] - mean, scaled - constant) * inv_std;
    };
    if (rows.gamma == nullptr) {
      store_elements<kWidth>(to + k, accumulate, [&](int j) { return result(j, gradient[j]); });
    } else {
      const auto scales = rows.template scales<kWidth>(k);
      store_elements<kWidth>(to + k, accumulate,
                             [&](int j) { return result(j, gradient[j] * scales[j]); });
    }
  });
}

// Per column the sums of dy and of dy times the normalised x.
template <typename T>
struct AffinePairs {
  const T* dy;
  const T* x;
  const Compute<T>* mean;
  const Compute<T>* inv_std;
  std::int64_t columns;

  template <int kWidth>
  __device__ __forceinline__ void sum(const ColumnPart& part, Pack<Compute<T>, kWidth>& first,
                                      Pack<Compute<T>, kWidth>& second) const {
    using Real = Compute<T>;
    struct Loaded {
      Pack<T, kWidth> dy, x;
      Real mean, inv_std;
    };
    const auto load = [&](std::int64_t row) {
      const std::int64_t at = row * columns + part.column;
      return Loaded{load_pack<kWidth>(dy + at), load_pack<kWidth>(x + at), mean[row], inv_std[row]};
    };
    for_rows(part, load, [&](std::int64_t, const Loaded& loaded) {
      for (int j = 0; j < kWidth; ++j) {
        const Real gradient = static_cast<Real>(loaded.dy.at[j]);
        const Real distance = static_cast<Real>(loaded.x.at[j]) - loaded.mean;
        first.at[j] += gradient;
        second.at[j] = fma(gradient, distance * loaded.inv_std, second.at[j]);
      }
    });
  }
};

template <typename T>
T* data_or_null(const Tensor& tensor) {
  return tensor.defined() ? tensor.data<T>() : nullptr;
}

void run_forward(const Tensor& x, const Tensor& gamma, const Tensor& beta, double eps,
                 const Tensor& y, const Tensor& mean, const Tensor& inv_std) {
  for_floating("layer_norm", x.dtype(), [&]<typename T>() {
    using Real = Compute<T>;
    const std::int64_t rows = x.size(0), columns = x.size(1);
    const Rows<T> view{x.data<T>(),
                       data_or_null<Real>(gamma),
                       rows,
                       columns,
                       whole_parts(columns, {x, gamma, beta, y}),
                       mean.data<Real>(),
                       inv_std.data<Real>()};
    for_row_team(columns, [&](auto team) {
      using Team = decltype(team);
      launch_rows<Team>("layer_norm.forward", normalize_rows_kernel<T, Team>, x.stream(), rows,
                        view, data_or_null<Real>(beta), static_cast<Real>(eps), y.data<T>());
    });
  });
}

void run_backward_input(const Tensor& dy, const LayerNormSaved& saved, Write write,
                        const Tensor& dx) {
  for_floating("layer_norm", dy.dtype(), [&]<typename T>() {
    using Real = Compute<T>;
    const std::int64_t rows = dy.size(0), columns = dy.size(1);
    const Rows<T> view{saved.x.data<T>(),
                       data_or_null<Real>(saved.gamma),
                       rows,
                       columns,
                       whole_parts(columns, {saved.x, dy, saved.gamma, dx}),
                       saved.mean.data<Real>(),
                       saved.inv_std.data<Real>()};
    for_row_team(columns, [&](auto team) {
      using Team = decltype(team);
      launch_rows<Team>("layer_norm.backward_input", input_gradient_kernel<T, Team>, dy.stream(),
                        rows, view, dy.data<T>(), write == Write::accumulate, dx.data<T>());
    });
  });
}

void run_backward_affine(const Tensor& dy, const LayerNormSaved& saved, const Tensor& scratch,
                         Write dgamma_write, const Tensor& dgamma, Write dbeta_write,
                         const Tensor& dbeta) {
  for_floating("layer_norm", dy.dtype(), [&]<typename T>() {
    using Real = Compute<T>;
    using Pairs = AffinePairs<T>;
    const ColumnChunks chunks = column_chunks(1, dy.size(0), dy.size(1));
    const auto sums = column_sums_in<Real>(scratch, chunks);
    const Pairs pairs{dy.data<T>(), saved.x.data<T>(), saved.mean.data<Real>(),
                      saved.inv_std.data<Real>(), chunks.c};
    for_pack_width(chunks.c, {dy, saved.x, scratch}, [&]<int kWidth>() {
      launch_column_parts<kWidth>("layer_norm.sums", column_pairs_kernel<Pairs, Real, kWidth>,
                                  dy.stream(), chunks, pairs, chunks, sums);
    });
    const AffineGradients<Real> finish{data_or_null<Real>(dbeta), data_or_null<Real>(dgamma),
                                       dbeta_write == Write::accumulate,
                                       dgamma_write == Write::accumulate};
    launch_joining("layer_norm.backward_affine",
                   join_column_pairs_kernel<Real, AffineGradients<Real>>, dy.stream(), chunks, sums,
                   finish);
  });
}

}  // namespace

template <typename Target>
LayerNormOp LayerNormOp::hand() {
  return {.dtypes = kFloating,
          .forward = run_forward,
          .backward_input = run_backward_input,
          .backward_affine = run_backward_affine};
}
template LayerNormOp LayerNormOp::hand<simt::Target>();

}  // namespace cucina
