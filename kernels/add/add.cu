// add's hand-written kernels: elementwise, so each is one map.
#include "kernels/add/add.h"
#include "kernels/simt/map.h"
#include "kernels/simt/simt.h"

namespace cucina {
namespace {

template <typename Real>
struct SumElement {
  const Real* a;
  const Real* b;
  Real* y;
  __device__ void operator()(std::int64_t i) const { y[i] = a[i] + b[i]; }
};

template <typename Real>
struct CopyElement {
  const Real* dy;
  Real* dx;
  __device__ void operator()(std::int64_t i) const { dx[i] = dy[i]; }
};

void run_forward(const Tensor& a, const Tensor& b, const Tensor& y) {
  for_real("add", a.dtype(), [&]<typename Real>() {
    simt::map("add.forward", a.stream(), a.elements(),
              SumElement<Real>{a.data<Real>(), b.data<Real>(), y.data<Real>()});
  });
}

void run_backward(const Tensor& dy, Write write, const Tensor& dx) {
  for_real("add", dy.dtype(), [&]<typename Real>() {
    const Real* from = dy.data<Real>();
    Real* to = dx.data<Real>();
    if (write == Write::accumulate) {
      simt::map("add.backward", dy.stream(), dy.elements(), SumElement<Real>{to, from, to});
    } else {
      simt::map("add.backward", dy.stream(), dy.elements(), CopyElement<Real>{from, to});
    }
  });
}

}  // namespace

template <typename Target>
AddOp AddOp::hand() {
  return {.dtypes = kReal, .forward = run_forward, .backward = run_backward};
}
template AddOp AddOp::hand<simt::Target>();

}  // namespace cucina
