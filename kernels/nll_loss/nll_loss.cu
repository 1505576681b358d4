// nll_loss's hand-written kernels: one block adds up the labels' weights, then their losses.
#include "kernels/common/label_sum.h"
#include "kernels/nll_loss/nll_loss.h"
#include "kernels/simt/map.h"
#include "kernels/simt/simt.h"

namespace cucina {
namespace {

template <typename T>
struct LossOfRow {
  const T* log_probs;
  WeightOfLabel<Compute<T>> weights;
  __device__ Compute<T> operator()(std::int64_t row) const {
    const Compute<T> weight = weights(row);
    if (weight != weight) return weight;  // the label may be no class
    const std::int64_t at = row * weights.classes + weights.labels[row];
    return -weight * static_cast<Compute<T>>(log_probs[at]);
  }
};

template <typename T>
struct BackwardElement {
  const Compute<T>* dy;
  const Compute<T>* divisor;
  WeightOfLabel<Compute<T>> weights;
  T* dx;
  bool accumulate;
  __device__ void operator()(std::int64_t i) const {
    using Real = Compute<T>;
    const std::int64_t row = i / weights.classes, k = i - row * weights.classes;
    const Real weight = weights(row);
    const bool here = k == weights.labels[row] || weight != weight;
    const Real gradient = here ? -*dy * weight / *divisor : Real(0);
    dx[i] = T(accumulate ? static_cast<Real>(dx[i]) + gradient : gradient);
  }
};

template <typename Real>
struct Put {
  Real value;
  Real* to;
  __device__ void operator()(std::int64_t) const { *to = value; }
};

template <typename Real>
WeightOfLabel<Real> weights_of(const NllLossInputs& in, std::int64_t classes) {
  const Tensor& weights = in.class_weights;
  return {in.labels.data<std::int32_t>(), weights.defined() ? weights.data<Real>() : nullptr,
          classes};
}

void run_forward(const Tensor& log_probs, const NllLossInputs& in, Reduction reduction,
                 const Tensor& divisor, const Tensor& loss) {
  for_floating("nll_loss", log_probs.dtype(), [&]<typename T>() {
    using Real = Compute<T>;
    const Stream stream = log_probs.stream();
    const std::int64_t n = log_probs.size(0);
    const auto weights = weights_of<Real>(in, log_probs.size(1));
    Real* to = divisor.data<Real>();
    if (reduction == Reduction::sum) {
      simt::map("nll_loss.divisor", stream, 1, Put<Real>{Real(1), to});
    } else {
      sum_over("nll_loss.divisor", stream, n, weights, Quotient<Real>{nullptr, 1, to});
    }
    sum_over("nll_loss.forward", stream, n, LossOfRow<T>{log_probs.data<T>(), weights},
             Quotient<Real>{to, 1, loss.data<Real>()});
  });
}

void run_backward(const Tensor& dy, const NllLossInputs& in, const Tensor& divisor, Write write,
                  const Tensor& dx) {
  for_floating("nll_loss", dx.dtype(), [&]<typename T>() {
    using Real = Compute<T>;
    simt::map(
        "nll_loss.backward", dx.stream(), dx.elements(),
        BackwardElement<T>{dy.data<Real>(), divisor.data<Real>(), weights_of<Real>(in, dx.size(1)),
                           dx.data<T>(), write == Write::accumulate});
  });
}

}  // namespace

template <typename Target>
NllLossOp NllLossOp::hand() {
  return {.dtypes = kFloating, .forward = run_forward, .backward = run_backward};
}
template NllLossOp NllLossOp::hand<simt::Target>();

}  // namespace cucina
