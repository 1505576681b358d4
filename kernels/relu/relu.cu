// relu's hand-written kernels: elementwise, so each is one map.
#include "kernels/relu/relu.h"
#include "kernels/simt/map.h"
#include "kernels/simt/simt.h"

namespace cucina {
namespace {

template <typename Real>
struct ForwardElement {
  const Real* x;
  Real* y;
  __device__ void operator()(std::int64_t i) const {
    y[i] = x[i] <= Real(0) ? Real(0) : x[i];  // this way round NaN passes through
  }
};

template <typename Real>
struct BackwardElement {
  const Real* dy;
  const Real* y;
  Real* dx;
  bool accumulate;
  __device__ void operator()(std::int64_t i) const {
    const Real gradient = y[i] > Real(0) ? dy[i] : Real(0);
    dx[i] = accumulate ? dx[i] + gradient : gradient;
  }
};

void run_forward(const Tensor& x, const Tensor& y) {
  for_real("relu", x.dtype(), [&]<typename Real>() {
    simt::map("relu.forward", x.stream(), x.elements(),
              ForwardElement<Real>{x.data<Real>(), y.data<Real>()});
  });
}

void run_backward(const Tensor& dy, const Tensor& y, Write write, const Tensor& dx) {
  for_real("relu", dy.dtype(), [&]<typename Real>() {
    simt::map("relu.backward", dy.stream(), dy.elements(),
              BackwardElement<Real>{dy.data<Real>(), y.data<Real>(), dx.data<Real>(),
                                    write == Write::accumulate});
  });
}

}  // namespace

template <typename Target>
ReluOp ReluOp::hand() {
  return {.dtypes = kReal, .forward = run_forward, .backward = run_backward};
}
template ReluOp ReluOp::hand<simt::Target>();

}  // namespace cucina
