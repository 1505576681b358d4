// matmul in plain loops: the definition of right.
#include "kernels/matmul/matmul.h"

namespace cucina {
namespace {

void run_multiply(const Tensor& a, const Tensor& b, const MatmulParams& params, const Tensor& bias,
                  Write write, const Tensor& c, const Tensor&) {
  const std::int64_t m = c.size(0), n = c.size(1), k = a.size(params.transpose_a ? 0 : 1);
  for_real("matmul", a.dtype(), [&]<typename Real>() {
    for (std::int64_t i = 0; i < m; ++i) {
      for (std::int64_t j = 0; j < n; ++j) {
        Real sum = 0;
        for (std::int64_t l = 0; l < k; ++l) {
          sum += a.data<Real>()[params.transpose_a ? l * m + i : i * k + l] *
                 b.data<Real>()[params.transpose_b ? j * k + l : l * n + j];
        }
        if (bias.defined()) sum += bias.data<Real>()[j];
        Real& to = c.data<Real>()[i * n + j];
        to = write == Write::accumulate ? to + sum : sum;
      }
    }
  });
}

void run_bias_gradient(const Tensor& dy, Write write, const Tensor& db, const Tensor&) {
  const std::int64_t rows = dy.size(0), columns = dy.size(1);
  for_real("matmul", dy.dtype(), [&]<typename Real>() {
    for (std::int64_t j = 0; j < columns; ++j) {
      Real sum = 0;
      for (std::int64_t i = 0; i < rows; ++i) sum += dy.data<Real>()[i * columns + j];
      Real& to = db.data<Real>()[j];
      to = write == Write::accumulate ? to + sum : sum;
    }
  });
}

}  // namespace

MatmulOp MatmulOp::reference() {
  return {.dtypes = kReal,
          .multiply = run_multiply,
          .multiply_scratch = no_multiply_scratch,
          .bias_gradient = run_bias_gradient,
          .bias_gradient_scratch = no_bias_gradient_scratch};
}

}  // namespace cucina
