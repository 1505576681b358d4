// The pointwise losses' hand-written kernels: a block adds up a chunk of elements, one more block
// the chunks.
#include "core/math.h"
#include "kernels/common/label_sum.h"
#include "kernels/common/row_team.h"
#include "kernels/pointwise_loss/pointwise_loss.h"
#include "kernels/simt/simt.h"

namespace cucina {
namespace {

using Kind = PointwiseLossParams::Kind;
constexpr std::int64_t kChunk = PointwiseLossOp::kChunk;

template <typename Real>
__device__ __forceinline__ Real clamp(Real x, Real limit) {
  return x > limit ? limit : x < -limit ? -limit : x;  // this way round NaN passes through
}

// log(1 + e^x). 1 + e rounds e off; what is left of it, 1 + e - 1, tells by how much.
//   source   Goldberg 1991, "What every computer scientist should know...", theorem 4
template <typename Real>
__device__ __forceinline__ Real softplus(Real x) {
  const Real e = math::exp(-math::detail::absolute(x));
  const Real one_more = Real(1) + e, kept = one_more - Real(1);
  const Real log = kept > Real(0) ? math::log(one_more) * (e / kept) : e;
  return (x <= Real(0) ? Real(0) : x) + log;
}

template <typename Real>
__device__ __forceinline__ Real sigmoid(Real x) {
  return Real(1) / (Real(1) + math::exp(-x));
}

// Losses and their derivatives at x with target t.
template <typename T, Kind kKind>
struct Terms {
  using Real = Compute<T>;
  const T* x;
  const T* target;
  const Real* pos_weight;  // null: 1
  std::int64_t columns;    // of pos_weight
  Real delta;

  __device__ __forceinline__ Real weight(std::int64_t i) const {
    return pos_weight != nullptr ? pos_weight[i % columns] : Real(1);
  }
  __device__ __forceinline__ Real value(std::int64_t i, Real x, Real t) const {
    if constexpr (kKind == Kind::bce) {
      return (Real(1) - t) * softplus(x) + weight(i) * t * softplus(-x);
    } else if constexpr (kKind == Kind::huber) {
      // With c = e clamped, c (e - c / 2) is e^2 / 2 within delta and delta (|e| - delta / 2)
      // beyond.
      const Real e = x - t, c = clamp(e, delta);
      return c * (e - Real(0.5) * c);
    } else {
      return (x - t) * (x - t);
    }
  }
  __device__ __forceinline__ Real slope(std::int64_t i, Real x, Real t) const {
    if constexpr (kKind == Kind::bce) {
      return (Real(1) - t) * sigmoid(x) - weight(i) * t * sigmoid(-x);
    } else if constexpr (kKind == Kind::huber) {
      return clamp(x - t, delta);
    } else {
      return Real(2) * (x - t);
    }
  }
};

template <typename T, Kind kKind, typename Team>
__global__ void __launch_bounds__(256)
    chunk_sums_kernel(Terms<T, kKind> terms, std::int64_t n, bool whole, Compute<T>* sums) {
  using Real = Compute<T>;
  const std::int64_t first = Team::row() * kChunk;
  const std::int64_t size = n - first < kChunk ? n - first : kChunk;
  Real slots[Team::kSlots] = {};
  Team::for_parts(size, whole, [&]<int kWidth>(std::int64_t k, int slot) {
    const auto values = row_elements<kWidth>(terms.x + first + k);
    const auto targets = row_elements<kWidth>(terms.target + first + k);
    for (int j = 0; j < kWidth; ++j) {
      slots[slot + j] += terms.value(first + k + j, values[j], targets[j]);
    }
  });
  const Real sum = Team::template sum<0>(slots);
  if (Team::lane() == 0) sums[Team::row()] = sum;
}

template <typename T, Kind kKind, typename Team>
__global__ void __launch_bounds__(256)
    backward_kernel(const Compute<T>* dy, Terms<T, kKind> terms, std::int64_t n, bool whole,
                    Compute<T> scale, bool accumulate, T* dx) {
  const std::int64_t first = Team::row() * kChunk;
  const std::int64_t size = n - first < kChunk ? n - first : kChunk;
  const Compute<T> factor = *dy * scale;
  Team::for_parts(size, whole, [&]<int kWidth>(std::int64_t k, int) {
    const auto values = row_elements<kWidth>(terms.x + first + k);
    const auto targets = row_elements<kWidth>(terms.target + first + k);
    store_elements<kWidth>(dx + first + k, accumulate, [&](int j) {
      return factor * terms.slope(first + k + j, values[j], targets[j]);
    });
  });
}

template <typename T, Kind kKind>
Terms<T, kKind> terms_of(const PointwiseLossInputs& in, const PointwiseLossParams& params) {
  using Real = Compute<T>;
  const Tensor& weight = in.pos_weight;
  return {in.x.data<T>(), in.target.data<T>(), weight.defined() ? weight.data<Real>() : nullptr,
          weight.defined() ? weight.elements() : 1, static_cast<Real>(params.delta)};
}

double divisor(const Tensor& x, const PointwiseLossParams& params) {
  return params.reduction == Reduction::mean ? static_cast<double>(x.elements()) : 1;
}

std::int64_t chunks_of(const Tensor& x) { return (x.elements() + kChunk - 1) / kChunk; }

// Parts of a chunk start where parts of the whole do.
bool whole_chunks(std::initializer_list<Tensor> tensors) {
  return whole_parts(tensors.begin()->elements(), tensors);
}

template <typename T, Kind kKind>
void sum_chunks(const PointwiseLossInputs& in, const PointwiseLossParams& params,
                const Tensor& scratch) {
  for_widest_team([&](auto team) {
    using Team = decltype(team);
    launch_rows<Team>("pointwise_loss.sums", chunk_sums_kernel<T, kKind, Team>, in.x.stream(),
                      chunks_of(in.x), terms_of<T, kKind>(in, params), in.x.elements(),
                      whole_chunks({in.x, in.target}), scratch.data<Compute<T>>());
  });
}

template <typename T, Kind kKind>
void differentiate(const Tensor& dy, const PointwiseLossInputs& in,
                   const PointwiseLossParams& params, Write write, const Tensor& dx) {
  using Real = Compute<T>;
  for_widest_team([&](auto team) {
    using Team = decltype(team);
    launch_rows<Team>("pointwise_loss.backward", backward_kernel<T, kKind, Team>, in.x.stream(),
                      chunks_of(in.x), dy.data<Real>(), terms_of<T, kKind>(in, params),
                      in.x.elements(), whole_chunks({in.x, in.target, dx}),
                      static_cast<Real>(1 / divisor(in.x, params)), write == Write::accumulate,
                      dx.data<T>());
  });
}

void run_forward(const PointwiseLossInputs& in, const PointwiseLossParams& params,
                 const Tensor& scratch, const Tensor& loss) {
  for_floating("pointwise_loss", in.x.dtype(), [&]<typename T>() {
    using Real = Compute<T>;
    switch (params.kind) {
      case Kind::mse:
        sum_chunks<T, Kind::mse>(in, params, scratch);
        break;
      case Kind::huber:
        sum_chunks<T, Kind::huber>(in, params, scratch);
        break;
      case Kind::bce:
        sum_chunks<T, Kind::bce>(in, params, scratch);
        break;
    }
    sum_over("pointwise_loss.forward", in.x.stream(), chunks_of(in.x),
             Listed<Real>{scratch.data<Real>()},
             Quotient<Real>{nullptr, divisor(in.x, params), loss.data<Real>()});
  });
}

void run_backward(const Tensor& dy, const PointwiseLossInputs& in,
                  const PointwiseLossParams& params, Write write, const Tensor& dx) {
  for_floating("pointwise_loss", in.x.dtype(), [&]<typename T>() {
    switch (params.kind) {
      case Kind::mse:
        return differentiate<T, Kind::mse>(dy, in, params, write, dx);
      case Kind::huber:
        return differentiate<T, Kind::huber>(dy, in, params, write, dx);
      case Kind::bce:
        return differentiate<T, Kind::bce>(dy, in, params, write, dx);
    }
  });
}

}  // namespace

template <typename Target>
PointwiseLossOp PointwiseLossOp::hand() {
  return {.dtypes = kFloating, .forward = run_forward, .backward = run_backward};
}
template PointwiseLossOp PointwiseLossOp::hand<simt::Target>();

}  // namespace cucina
