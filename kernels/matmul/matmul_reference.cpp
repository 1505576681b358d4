// matmul in plain loops: the definition of right.
#include "kernels/matmul/matmul.h"

namespace cucina {
namespace {

void run_multiply(const Tensor& a, const Tensor& b, const MatmulParams& params,
                  const MatmulEpilogue& epilogue, Write write, const Tensor& c, const Tensor&) {
  const auto [batch, m, n, k] = product_sizes(a, params, c);
  for_real("matmul", a.dtype(), [&]<typename Real>() {
    for (std::int64_t z = 0; z < batch; ++z) {
      const Real* const a_matrix = a.data<Real>() + z * m * k;
      const Real* const b_matrix = b.data<Real>() + z * k * n;
      for (std::int64_t i = 0; i < m; ++i) {
        for (std::int64_t j = 0; j < n; ++j) {
          Real sum = 0;
          for (std::int64_t l = 0; l < k; ++l) {
            sum += a_matrix[params.transpose_a ? l * m + i : i * k + l] *
                   b_matrix[params.transpose_b ? j * k + l : l * n + j];
          }
          const std::int64_t at = (z * m + i) * n + j;
          if (epilogue.bias.defined()) sum += epilogue.bias.data<Real>()[j];
          if (epilogue.before.defined()) epilogue.before.data<Real>()[at] = sum;
          activation::dispatch(params.activation, [&]<Activation kActivation>() {
            sum = activation::value<kActivation>(sum);
          });
          Real& to = c.data<Real>()[at];
          to = write == Write::accumulate ? to + sum : sum;
        }
      }
    }
  });
}

void run_activate(const Tensor& x, Activation activation, const Tensor& y) {
  for_real("matmul", x.dtype(), [&]<typename Real>() {
    activation::dispatch(activation, [&]<Activation kActivation>() {
      for (std::int64_t i = 0; i < x.elements(); ++i) {
        y.data<Real>()[i] = activation::value<kActivation>(x.data<Real>()[i]);
      }
    });
  });
}

void run_activation_gradient(const Tensor& dy, const Tensor& saved, Activation activation,
                             const Tensor& dz) {
  for_real("matmul", dy.dtype(), [&]<typename Real>() {
    activation::dispatch(activation, [&]<Activation kActivation>() {
      for (std::int64_t i = 0; i < dy.elements(); ++i) {
        const Real value = saved.data<Real>()[i];
        dz.data<Real>()[i] = dy.data<Real>()[i] * activation::derivative<kActivation>(value, value);
      }
    });
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
          .fuses = [](Activation, bool, DType) { return true; },
          .activate = run_activate,
          .activation_gradient = run_activation_gradient,
          .bias_gradient = run_bias_gradient,
          .bias_gradient_scratch = no_bias_gradient_scratch};
}

}  // namespace cucina
