// add in plain loops: the definition of right.
#include "kernels/add/add.h"

namespace cucina {
namespace {

void run_forward(const Tensor& a, const Tensor& b, const Tensor& y) {
  for_real("add", a.dtype(), [&]<typename Real>() {
    for (std::int64_t i = 0; i < a.elements(); ++i) {
      y.data<Real>()[i] = a.data<Real>()[i] + b.data<Real>()[i];
    }
  });
}

void run_backward(const Tensor& dy, Write write, const Tensor& dx) {
  for_real("add", dy.dtype(), [&]<typename Real>() {
    for (std::int64_t i = 0; i < dy.elements(); ++i) {
      Real& to = dx.data<Real>()[i];
      const Real gradient = dy.data<Real>()[i];
      to = write == Write::accumulate ? to + gradient : gradient;
    }
  });
}

}  // namespace

AddOp AddOp::reference() {
  return {.dtypes = kReal, .forward = run_forward, .backward = run_backward};
}

}  // namespace cucina
