// batch_norm on the cpu in the fewest passes over memory: oneDNN 2 reads x three times, keeps
// relu's mask apart, adds no residual, and leaves these to further passes.
#include <algorithm>
#include <cmath>
#include <limits>

#include "kernels/batch_norm/batch_norm.h"
#include "kernels/common/channel_rows.h"
#include "kernels/common/vendor_cpu.h"

namespace cucina {
namespace {

using onednn::kTile;
using onednn::lanes_of;
using onednn::round_lanes;
using Rows = onednn::ChannelRows;

// value(channel) for each lane.
template <typename Value>
Tensor per_lane(const Rows& rows, const Value& value) {
  const Tensor made = Tensor::empty({rows.lanes});
  for (std::int64_t i = 0; i < rows.lanes; ++i) made.data<float>()[i] = value(i % rows.channels);
  return made;
}

// So many numbers per chunk and lane.
Tensor make_sums(const Rows& rows, std::int64_t numbers) {
  return Tensor::empty({rows.chunks, numbers, rows.lanes});
}

// Each chunk's mean as f32 rounds it, and its sums of distances from that and of their squares:
// what was rounded off is in the distances.
template <typename T>
void chunk_moments(const Rows& rows, const T* x, float* sums) {
  rows.for_tiles([&]<int kWidth>(std::int64_t chunk, std::int64_t lane, std::int64_t lanes) {
    const std::int64_t width = kWidth > 0 ? kWidth : lanes;
    float total[kTile] = {}, distances[kTile] = {}, squares[kTile] = {};
    const std::int64_t begin = rows.begin(chunk), end = rows.end(chunk);
    for (std::int64_t row = begin; row < end; ++row) {
      const T* from = x + row * rows.lanes + lane;
#pragma omp simd
      for (std::int64_t i = 0; i < width; ++i) total[i] += static_cast<float>(from[i]);
    }
    const float share = 1 / static_cast<float>(end - begin);
    for (float& sum : total) sum *= share;
    for (std::int64_t row = begin; row < end; ++row) {
      const T* from = x + row * rows.lanes + lane;
#pragma omp simd
      for (std::int64_t i = 0; i < width; ++i) {
        const float distance = static_cast<float>(from[i]) - total[i];
        distances[i] += distance;
        squares[i] += distance * distance;
      }
    }
    float* to = sums + chunk * 3 * rows.lanes + lane;
    for (std::int64_t i = 0; i < width; ++i) {
      to[i] = total[i];
      to[rows.lanes + i] = distances[i];
      to[2 * rows.lanes + i] = squares[i];
    }
  });
}

// Joins chunks and folded pixels: Chan, Golub & LeVeque 1983, equation 2.1.
void join_moments(const Rows& rows, const float* sums, const BatchNormInputs& in,
                  const BatchNormParams& params, const Tensor& mean, const Tensor& inv_std) {
  const double m = static_cast<double>(rows.pixels());
  const float momentum = params.momentum;
  for (std::int64_t c = 0; c < rows.channels; ++c) {
    double count = 0, average = 0, squares = 0;
    for (std::int64_t chunk = 0; chunk < rows.chunks; ++chunk) {
      const auto more = static_cast<double>(rows.end(chunk) - rows.begin(chunk));
      for (std::int64_t lane = c; lane < rows.lanes; lane += rows.channels) {
        const float* of = sums + chunk * 3 * rows.lanes + lane;
        const double left = of[rows.lanes] / more;
        const double distance = of[0] + left - average;
        average += distance * more / (count + more);
        squares += of[2 * rows.lanes] - left * left * more +
                   distance * distance * count * more / (count + more);
        count += more;
      }
    }
    if (!std::isfinite(average)) average = std::numeric_limits<double>::quiet_NaN();
    mean.data<float>()[c] = static_cast<float>(average);
    inv_std.data<float>()[c] = static_cast<float>(1 / std::sqrt(squares / m + params.eps));
    float& running_mean = in.running_mean.data<float>()[c];
    float& running_var = in.running_var.data<float>()[c];
    running_mean = (1 - momentum) * running_mean + momentum * static_cast<float>(average);
    running_var = (1 - momentum) * running_var + momentum * static_cast<float>(squares / (m - 1));
  }
}

// What normalises a lane: y = (x - mean) scale + shift. Forward and backward have the same
// expression, so that backward finds relu's mask again in x alone.
struct Affine {
  Tensor mean, scale, shift;

  static Affine of(const Rows& rows, const Tensor& mean, const Tensor& inv_std, const Tensor& gamma,
                   const Tensor& beta) {
    const auto lanes = [&](const Tensor& vector) {
      return per_lane(rows, [&](std::int64_t c) { return vector.data<float>()[c]; });
    };
    return {.mean = lanes(mean),
            .scale = per_lane(
                rows,
                [&](std::int64_t c) { return gamma.data<float>()[c] * inv_std.data<float>()[c]; }),
            .shift = lanes(beta)};
  }
};

template <typename T, bool kResidual, bool kRelu>
void normalize(const Rows& rows, const Affine& affine, const T* x, const T* residual, T* y) {
  const float *mean = affine.mean.data<float>(), *scale = affine.scale.data<float>();
  const float* shift = affine.shift.data<float>();
  rows.for_tiles([&]<int kWidth>(std::int64_t chunk, std::int64_t lane, std::int64_t lanes) {
    const std::int64_t width = kWidth > 0 ? kWidth : lanes;
    for (std::int64_t row = rows.begin(chunk); row < rows.end(chunk); ++row) {
      const std::int64_t at = row * rows.lanes + lane;
      float own[kTile];
      float* to = lanes_of(y + at, own);
#pragma omp simd
      for (std::int64_t i = 0; i < width; ++i) {
        float value =
            (static_cast<float>(x[at + i]) - mean[lane + i]) * scale[lane + i] + shift[lane + i];
        if (kResidual) value += static_cast<float>(residual[at + i]);
        if (kRelu) value = value <= 0 ? 0 : value;
        to[i] = value;
      }
      round_lanes(own, width, y + at);
    }
  });
}

void normalize(const Rows& rows, const Affine& affine, const BatchNormInputs& in, bool relu,
               const Tensor& y) {
  onednn::for_its_type(y.dtype(), [&]<typename T>() {
    const T* residual = in.residual.defined() ? in.residual.data<T>() : nullptr;
    const auto pass = residual == nullptr
                          ? relu ? normalize<T, false, true> : normalize<T, false, false>
                      : relu ? normalize<T, true, true>
                             : normalize<T, true, false>;
    pass(rows, affine, in.x.data<T>(), residual, y.data<T>());
  });
}

void run_forward_train(const BatchNormInputs& in, const BatchNormParams& params, const Tensor&,
                       const Tensor& y, const Tensor& mean, const Tensor& inv_std) {
  if (in.x.elements() == 0) {
    mean.zero();
    inv_std.fill(1 / std::sqrt(params.eps));
    return;
  }
  const Rows rows = Rows::of(in.x);
  const Tensor sums = make_sums(rows, 3);
  onednn::for_its_type(
      in.x.dtype(), [&]<typename T>() { chunk_moments(rows, in.x.data<T>(), sums.data<float>()); });
  join_moments(rows, sums.data<float>(), in, params, mean, inv_std);
  normalize(rows, Affine::of(rows, mean, inv_std, in.gamma, in.beta), in, params.relu, y);
}

Tensor inverse_deviation(const Tensor& var, double eps) {
  const Tensor made = Tensor::empty(var.shape());
  for (std::int64_t i = 0; i < var.elements(); ++i)
    made.data<float>()[i] = 1 / std::sqrt(var.data<float>()[i] + static_cast<float>(eps));
  return made;
}

void run_forward_eval(const BatchNormInputs& in, const BatchNormParams& params, const Tensor& y) {
  if (in.x.elements() == 0) return;
  const Rows rows = Rows::of(in.x);
  const Tensor inv_std = inverse_deviation(in.running_var, params.eps);
  normalize(rows, Affine::of(rows, in.running_mean, inv_std, in.gamma, in.beta), in, params.relu,
            y);
}

// Where relu's mask comes from. Where a residual was added x alone does not tell, but then what
// passes is wanted anyway, as the residual's gradient: it is written and read again.
enum class Mask { none, from_x, from_y };

// Each chunk's sum of dz, dy as it comes out of relu, and of dz (x - mean).
template <typename T, Mask kMask>
void chunk_sums(const Rows& rows, const Affine& affine, const T* dy, const T* x, const T* y,
                T* passed, float* sums) {
  const float *mean = affine.mean.data<float>(), *scale = affine.scale.data<float>();
  const float* shift = affine.shift.data<float>();
  rows.for_tiles([&]<int kWidth>(std::int64_t chunk, std::int64_t lane, std::int64_t lanes) {
    const std::int64_t width = kWidth > 0 ? kWidth : lanes;
    float first[kTile] = {}, second[kTile] = {};
    for (std::int64_t row = rows.begin(chunk); row < rows.end(chunk); ++row) {
      const std::int64_t at = row * rows.lanes + lane;
      float own[kTile];
      float* to = lanes_of(passed + at, own);
#pragma omp simd
      for (std::int64_t i = 0; i < width; ++i) {
        const float distance = static_cast<float>(x[at + i]) - mean[lane + i];
        float dz = static_cast<float>(dy[at + i]);
        if (kMask == Mask::from_x) dz = distance * scale[lane + i] + shift[lane + i] > 0 ? dz : 0;
        if (kMask == Mask::from_y) {
          dz = static_cast<float>(y[at + i]) > 0 ? dz : 0;
          to[i] = dz;
        }
        first[i] += dz;
        second[i] += dz * distance;
      }
      if (kMask == Mask::from_y) round_lanes(own, width, passed + at);
    }
    float* found = sums + chunk * 2 * rows.lanes + lane;
    for (std::int64_t i = 0; i < width; ++i) {
      found[i] = first[i];
      found[rows.lanes + i] = second[i];
    }
  });
}

// dx = scale dz - constant - slope (x - mean), the latter two only while training.
template <typename T, bool kMasked, bool kTraining>
void input_gradient(const Rows& rows, const Affine& affine, const Tensor& constant,
                    const Tensor& slope, const T* dz, const T* x, T* dx) {
  const float *mean = affine.mean.data<float>(), *scale = affine.scale.data<float>();
  const float *shift = affine.shift.data<float>(), *k0 = constant.data<float>();
  const float* k1 = slope.data<float>();
  rows.for_tiles([&]<int kWidth>(std::int64_t chunk, std::int64_t lane, std::int64_t lanes) {
    const std::int64_t width = kWidth > 0 ? kWidth : lanes;
    for (std::int64_t row = rows.begin(chunk); row < rows.end(chunk); ++row) {
      const std::int64_t at = row * rows.lanes + lane;
      float own[kTile];
      float* to = lanes_of(dx + at, own);
#pragma omp simd
      for (std::int64_t i = 0; i < width; ++i) {
        const float distance = static_cast<float>(x[at + i]) - mean[lane + i];
        float gradient = static_cast<float>(dz[at + i]);
        if (kMasked) gradient = distance * scale[lane + i] + shift[lane + i] > 0 ? gradient : 0;
        gradient *= scale[lane + i];
        if (kTraining) gradient -= k0[lane + i] + k1[lane + i] * distance;
        to[i] = gradient;
      }
      round_lanes(own, width, dx + at);
    }
  });
}

// Adds up what the chunks found for each channel, in order: dbeta and dgamma.
void join_sums(const Rows& rows, const float* sums, const float* inv_std, const Tensor& dbeta,
               const Tensor& dgamma) {
  for (std::int64_t c = 0; c < rows.channels; ++c) {
    double first = 0, second = 0;
    for (std::int64_t chunk = 0; chunk < rows.chunks; ++chunk) {
      for (std::int64_t lane = c; lane < rows.lanes; lane += rows.channels) {
        const float* of = sums + chunk * 2 * rows.lanes + lane;
        first += of[0];
        second += of[rows.lanes];
      }
    }
    dbeta.data<float>()[c] = static_cast<float>(first);
    dgamma.data<float>()[c] = static_cast<float>(second * inv_std[c]);
  }
}

void deliver_vector(const Tensor& from, Write write, const Tensor& to) {
  if (!to.defined()) return;
  write == Write::accumulate ? onednn::add_into(from, to) : to.copy_from(from);
}

void run_backward(const Tensor& dy, const BatchNormSaved& saved, const Tensor& inv_std,
                  bool training, const BatchNormGradients& to) {
  const Tensor &x = saved.x, &gamma = saved.gamma;
  const Tensor dbeta = Tensor::zeros(gamma.shape()), dgamma = Tensor::zeros(gamma.shape());
  if (x.elements() == 0) {
    deliver_vector(dgamma, to.dgamma_write, to.dgamma);
    deliver_vector(dbeta, to.dbeta_write, to.dbeta);
    return;
  }
  const Rows rows = Rows::of(x);
  const Affine affine = Affine::of(rows, saved.mean, inv_std, gamma, saved.beta);
  const Mask mask = !saved.y.defined() ? Mask::none : saved.residual ? Mask::from_y : Mask::from_x;
  const bool direct = to.dresidual.defined() && to.dresidual_write == Write::overwrite;
  Tensor passed = dy;
  if (mask == Mask::from_y) passed = direct ? to.dresidual : Tensor::empty(dy.shape(), dy.dtype());
  const Tensor sums = make_sums(rows, 2);
  onednn::for_its_type(x.dtype(), [&]<typename T>() {
    const auto pass = mask == Mask::none     ? chunk_sums<T, Mask::none>
                      : mask == Mask::from_x ? chunk_sums<T, Mask::from_x>
                                             : chunk_sums<T, Mask::from_y>;
    pass(rows, affine, dy.data<T>(), x.data<T>(), saved.y.defined() ? saved.y.data<T>() : nullptr,
         passed.data<T>(), sums.data<float>());
  });
  join_sums(rows, sums.data<float>(), inv_std.data<float>(), dbeta, dgamma);
  deliver_vector(dgamma, to.dgamma_write, to.dgamma);
  deliver_vector(dbeta, to.dbeta_write, to.dbeta);
  if (to.dresidual.defined()) {
    if (to.dresidual_write == Write::accumulate) onednn::add_into(passed, to.dresidual);
    if (direct && mask != Mask::from_y) to.dresidual.copy_from(dy);
  }
  if (!to.dx.defined()) return;

  const float m = static_cast<float>(rows.pixels());
  const float *scale = affine.scale.data<float>(), *deviation = inv_std.data<float>();
  const Tensor constant =
      per_lane(rows, [&](std::int64_t c) { return scale[c] * dbeta.data<float>()[c] / m; });
  const Tensor slope = per_lane(
      rows, [&](std::int64_t c) { return scale[c] * deviation[c] * dgamma.data<float>()[c] / m; });
  onednn::deliver(to.dx, to.dx_write, [&](const Tensor& dx) {
    onednn::for_its_type(x.dtype(), [&]<typename T>() {
      const bool masked = mask == Mask::from_x;
      const auto pass =
          masked     ? training ? input_gradient<T, true, true> : input_gradient<T, true, false>
              : training ? input_gradient<T, false, true>
                     : input_gradient<T, false, false>;
      pass(rows, affine, constant, slope, passed.data<T>(), x.data<T>(), dx.data<T>());
    });
  });
}

void run_backward_train(const Tensor& dy, const BatchNormSaved& saved, const BatchNormParams&,
                        const Tensor&, const BatchNormGradients& to) {
  run_backward(dy, saved, saved.spread, true, to);
}

void run_backward_eval(const Tensor& dy, const BatchNormSaved& saved, const BatchNormParams& params,
                       const Tensor&, const BatchNormGradients& to) {
  run_backward(dy, saved, inverse_deviation(saved.spread, params.eps), false, to);
}

}  // namespace

template <typename Target>
BatchNormOp BatchNormOp::vendor() {
  return {.dtypes = DTypes{kF32.bits | 1u << static_cast<unsigned>(DType::bf16)},
          .forward_train = run_forward_train,
          .forward_eval = run_forward_eval,
          .backward_train = run_backward_train,
          .backward_eval = run_backward_eval};
}
template BatchNormOp BatchNormOp::vendor<Host>();

}  // namespace cucina
