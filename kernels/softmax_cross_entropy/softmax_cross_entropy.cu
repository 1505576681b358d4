// softmax_cross_entropy's hand-written kernels: a team of threads per row, then the mean.
#include <limits>

#include "core/math.h"
#include "kernels/common/first_largest.h"
#include "kernels/common/label_sum.h"
#include "kernels/common/online_softmax.h"
#include "kernels/common/row_team.h"
#include "kernels/simt/map.h"
#include "kernels/simt/simt.h"
#include "kernels/softmax_cross_entropy/softmax_cross_entropy.h"

namespace cucina {
namespace {

template <typename T>
struct Rows {
  using Real = Compute<T>;
  const T* logits;
  const std::int32_t* labels;  // null: targets
  const Real* targets;         // null: labels
  const Real* weights;         // of the classes; null: 1
  const Real* divisor;         // of the loss; null: 1 / scale
  Real scale;
  Real label_share, every_share;  // of a target: 1 - smoothing, smoothing / classes
  std::int64_t n, classes;
  bool whole;  // parts may be loaded at once
  Real* losses;
  std::int32_t* correct;
  T* dlogits;  // null when not wanted

  __device__ __forceinline__ bool valid(std::int64_t label) const {
    return label >= 0 && label < classes;
  }
  __device__ __forceinline__ Real loss_scale() const {
    return divisor != nullptr ? Real(1) / *divisor : scale;
  }
};

// All of a row's target is at its label: neither smoothing nor targets of other classes.
template <typename T, typename Team>
__global__ void __launch_bounds__(256) labels_kernel(Rows<T> rows) {
  using Real = Compute<T>;
  const std::int64_t row = Team::row();
  if (row >= rows.n) return;
  const T* x = rows.logits + row * rows.classes;
  OnlineSoftmax<Real, Team> online;
  FirstLargest<Real, Team> places;
  Team::for_parts(rows.classes, rows.whole, [&]<int kWidth>(std::int64_t k, int slot) {
    const auto values = row_elements<kWidth>(x + k);
    for (int j = 0; j < kWidth; ++j) {
      online.add(slot + j, values[j]);
      places.add(slot + j, values[j], k + j);
    }
  });
  const SoftmaxSum<Real> softmax = online.template join<0>();
  const Real largest = softmax.largest, sum = softmax.sum;
  const std::int32_t answer = places.template first<2>(largest);
  const std::int64_t label = rows.labels[row];
  const bool valid = rows.valid(label);
  const Real weight = !valid                    ? std::numeric_limits<Real>::quiet_NaN()
                      : rows.weights != nullptr ? rows.weights[label]
                                                : Real(1);
  if (Team::lane() == 0) {
    rows.losses[row] =
        valid && weight != Real(0)
            ? weight * (math::log(sum) - (static_cast<Real>(x[label]) - largest))
            : sum * Real(0) + weight;  // NaN where there are no probabilities or no label, else 0
    rows.correct[row] = answer == label && sum == sum ? 1 : 0;
  }
  if (rows.dlogits == nullptr) return;
  T* to = rows.dlogits + row * rows.classes;
  const Real scale = rows.loss_scale() * weight, share = Real(1) / sum;
  Team::for_parts(rows.classes, rows.whole, [&]<int kWidth>(std::int64_t k, int) {
    const auto values = row_elements<kWidth>(x + k);
    store_elements<kWidth>(to + k, false, [&](int j) {
      const Real target = k + j == label ? Real(1) : Real(0);
      return fma(math::exp(values[j] - largest), share, -target) * scale;
    });
  });
}

// Any targets.
template <typename T, typename Team>
__global__ void __launch_bounds__(256) targets_kernel(Rows<T> rows) {
  using Real = Compute<T>;
  const std::int64_t row = Team::row();
  if (row >= rows.n) return;
  const T* x = rows.logits + row * rows.classes;
  const std::int64_t label = rows.labels != nullptr ? rows.labels[row] : -1;
  const Real* soft = rows.targets != nullptr ? rows.targets + row * rows.classes : nullptr;
  const auto plain_target = [&](std::int64_t k) {
    return soft != nullptr ? soft[k] : k == label ? Real(1) : Real(0);
  };
  const auto target = [&](std::int64_t k) {
    const Real smooth = fma(rows.label_share, plain_target(k), rows.every_share);
    return rows.weights != nullptr && smooth != Real(0) ? rows.weights[k] * smooth : smooth;
  };
  OnlineSoftmax<Real, Team> online;
  FirstLargest<Real, Team> places, target_places;
  Real targets[Team::kSlots] = {};
  Team::for_parts(rows.classes, rows.whole, [&]<int kWidth>(std::int64_t k, int slot) {
    const auto values = row_elements<kWidth>(x + k);
    for (int j = 0; j < kWidth; ++j) {
      online.add(slot + j, values[j]);
      places.add(slot + j, values[j], k + j);
      target_places.add(slot + j, plain_target(k + j), k + j);
      targets[slot + j] += target(k + j);
    }
  });
  const SoftmaxSum<Real> softmax = online.template join<0>();
  const Real largest = softmax.largest, sum = softmax.sum;
  const std::int32_t answer = places.template first<2>(largest);
  const Real largest_target = target_places.template value<3>();
  const std::int32_t right = target_places.template first<4>(largest_target);
  const bool valid = soft != nullptr || rows.valid(label);
  const Real all_targets = Team::template sum<5>(targets);
  const Real log_sum = math::log(sum), share = all_targets / sum;
  const Real scale = valid ? rows.loss_scale() : std::numeric_limits<Real>::quiet_NaN();
  Real losses[Team::kSlots] = {};
  T* to = rows.dlogits != nullptr ? rows.dlogits + row * rows.classes : nullptr;
  Team::for_parts(rows.classes, rows.whole, [&]<int kWidth>(std::int64_t k, int slot) {
    const auto values = row_elements<kWidth>(x + k);
    for (int j = 0; j < kWidth; ++j) {
      const Real q = target(k + j);
      const Real loss = q * (log_sum - (values[j] - largest));
      losses[slot + j] += q == Real(0) ? Real(0) : loss;
    }
    if (to == nullptr) return;
    store_elements<kWidth>(to + k, false, [&](int j) {
      return fma(math::exp(values[j] - largest), share, -target(k + j)) * scale;
    });
  });
  const Real loss = Team::template sum<6>(losses);
  if (Team::lane() == 0) {
    rows.losses[row] = valid ? loss + sum * Real(0) : std::numeric_limits<Real>::quiet_NaN();
    rows.correct[row] = valid && answer == right && sum == sum ? 1 : 0;
  }
}

template <typename T>
struct BackwardElement {
  const Compute<T>* dy;
  const T* dlogits;
  T* dx;
  bool accumulate;
  __device__ void operator()(std::int64_t i) const {
    using Real = Compute<T>;
    const Real gradient = *dy * static_cast<Real>(dlogits[i]);
    dx[i] = T(accumulate ? static_cast<Real>(dx[i]) + gradient : gradient);
  }
};

template <typename T>
T* data_or_null(const Tensor& tensor) {
  return tensor.defined() ? tensor.data<T>() : nullptr;
}

void run_forward(const SoftmaxCrossEntropyInputs& in, const SoftmaxCrossEntropyParams& params,
                 const Tensor& scratch, const SoftmaxCrossEntropy& result, const Tensor& dlogits) {
  for_floating("softmax_cross_entropy", in.logits.dtype(), [&]<typename T>() {
    using Real = Compute<T>;
    const Stream stream = in.logits.stream();
    const std::int64_t n = in.logits.size(0), classes = in.logits.size(1);
    const bool labels = in.targets.dtype() == DType::i32;
    const bool mean = params.reduction == Reduction::mean;
    const bool weighted_mean = mean && labels && in.class_weights.defined();
    const double count = mean ? static_cast<double>(n) : 1;
    const Rows<T> rows{
        .logits = in.logits.data<T>(),
        .labels = labels ? in.targets.data<std::int32_t>() : nullptr,
        .targets = labels ? nullptr : in.targets.data<Real>(),
        .weights = data_or_null<Real>(in.class_weights),
        .divisor = weighted_mean ? scratch.data<Real>() : nullptr,
        .scale = static_cast<Real>(1 / count),
        .label_share = static_cast<Real>(1 - params.label_smoothing),
        .every_share = static_cast<Real>(params.label_smoothing / static_cast<double>(classes)),
        .n = n,
        .classes = classes,
        .whole = whole_parts(classes, {in.logits, dlogits}),
        .losses = result.losses.data<Real>(),
        .correct = result.correct.data<std::int32_t>(),
        .dlogits = data_or_null<T>(dlogits)};
    if (weighted_mean) {
      sum_over("softmax_cross_entropy.weights", stream, n,
               WeightOfLabel<Real>{rows.labels, rows.weights, classes},
               Quotient<Real>{nullptr, 1, scratch.data<Real>()});
    }
    const bool at_labels = labels && params.label_smoothing == 0;
    for_row_team(classes, [&](auto team) {
      using Team = decltype(team);
      launch_rows<Team>("softmax_cross_entropy.forward",
                        at_labels ? labels_kernel<T, Team> : targets_kernel<T, Team>, stream, n,
                        rows);
    });
    sum_over("softmax_cross_entropy.mean", stream, n, Listed<Real>{rows.losses},
             Quotient<Real>{rows.divisor, count, result.loss.data<Real>()});
  });
}

void run_backward(const Tensor& dy, const Tensor& dlogits, Write write, const Tensor& dx) {
  for_floating("softmax_cross_entropy", dx.dtype(), [&]<typename T>() {
    simt::map("softmax_cross_entropy.backward", dy.stream(), dx.elements(),
              BackwardElement<T>{dy.data<Compute<T>>(), dlogits.data<T>(), dx.data<T>(),
                                 write == Write::accumulate});
  });
}

}  // namespace

template <typename Target>
SoftmaxCrossEntropyOp SoftmaxCrossEntropyOp::hand() {
  return {.dtypes = kFloating, .forward = run_forward, .backward = run_backward};
}
template SoftmaxCrossEntropyOp SoftmaxCrossEntropyOp::hand<simt::Target>();

}  // namespace cucina
