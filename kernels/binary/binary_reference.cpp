// binary in plain loops: the definition of right.
#include <vector>

#include "kernels/binary/binary.h"

namespace cucina {
namespace {

template <typename Real>
Real value(Binary kind, Real a, Real b) {
  return kind == Binary::add ? a + b : kind == Binary::sub ? a - b : a * b;
}

void run_forward(const Tensor& a, const Tensor& b, Binary kind, const Tensor& y) {
  for_real("binary", a.dtype(), [&]<typename Real>() {
    for (std::int64_t i = 0; i < a.elements(); ++i) {
      y.data<Real>()[i] = value(kind, a.data<Real>()[i], b.data<Real>()[i % b.elements()]);
    }
  });
}

void run_backward_a(const Tensor& dy, const Tensor& b, Binary kind, Write write, const Tensor& da) {
  for_real("binary", dy.dtype(), [&]<typename Real>() {
    for (std::int64_t i = 0; i < dy.elements(); ++i) {
      const Real gradient = kind == Binary::mul
                                ? dy.data<Real>()[i] * b.data<Real>()[i % b.elements()]
                                : dy.data<Real>()[i];
      Real& to = da.data<Real>()[i];
      to = write == Write::accumulate ? to + gradient : gradient;
    }
  });
}

void run_backward_b(const Tensor& dy, const Tensor& a, Binary kind, Write write, const Tensor& db,
                    const Tensor&) {
  for_real("binary", dy.dtype(), [&]<typename Real>() {
    std::vector<Real> sums(static_cast<std::size_t>(db.elements()));
    for (std::int64_t i = 0; i < dy.elements(); ++i) {
      const Real gradient = dy.data<Real>()[i];
      sums[static_cast<std::size_t>(i % db.elements())] += kind == Binary::add ? gradient
                                                           : kind == Binary::sub
                                                               ? -gradient
                                                               : gradient * a.data<Real>()[i];
    }
    for (std::int64_t j = 0; j < db.elements(); ++j) {
      Real& to = db.data<Real>()[j];
      const Real sum = sums[static_cast<std::size_t>(j)];
      to = write == Write::accumulate ? to + sum : sum;
    }
  });
}

std::int64_t no_scratch(const Shape&, const Shape&) { return 0; }

}  // namespace

BinaryOp BinaryOp::reference() {
  return {.dtypes = kReal,
          .forward = run_forward,
          .backward_a = run_backward_a,
          .backward_b = run_backward_b,
          .backward_b_scratch = no_scratch};
}

}  // namespace cucina
