// relu in plain loops: the definition of right.
#include "kernels/relu/relu.h"

namespace cucina {
namespace {

void run_forward(const Tensor& x, const Tensor& y) {
  for_real("relu", x.dtype(), [&]<typename Real>() {
    for (std::int64_t i = 0; i < x.elements(); ++i) {
      const Real value = x.data<Real>()[i];
      y.data<Real>()[i] = value <= 0 ? 0 : value;
    }
  });
}

void run_backward(const Tensor& dy, const Tensor& y, Write write, const Tensor& dx) {
  for_real("relu", dy.dtype(), [&]<typename Real>() {
    for (std::int64_t i = 0; i < dy.elements(); ++i) {
      Real& to = dx.data<Real>()[i];
      const Real gradient = y.data<Real>()[i] > 0 ? dy.data<Real>()[i] : 0;
      to = write == Write::accumulate ? to + gradient : gradient;
    }
  });
}

}  // namespace

ReluOp ReluOp::reference() {
  return {.dtypes = kReal, .forward = run_forward, .backward = run_backward};
}

}  // namespace cucina
