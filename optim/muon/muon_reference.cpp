// muon in plain loops, in double whatever the dtype: the definition of right.
#include <algorithm>
#include <cmath>

#include "optim/muon/muon.h"

namespace cucina {
namespace {

struct Matrix {
  std::int64_t rows, columns;
  std::vector<double> elements;

  double& at(std::int64_t i, std::int64_t j) {
    return elements[static_cast<std::size_t>(i * columns + j)];
  }
  double at(std::int64_t i, std::int64_t j) const {
    return elements[static_cast<std::size_t>(i * columns + j)];
  }
};

Matrix zeros(std::int64_t rows, std::int64_t columns) {
  return {rows, columns, std::vector<double>(static_cast<std::size_t>(rows * columns))};
}

Matrix transpose(const Matrix& a) {
  Matrix t = zeros(a.columns, a.rows);
  for (std::int64_t i = 0; i < a.rows; ++i) {
    for (std::int64_t j = 0; j < a.columns; ++j) t.at(j, i) = a.at(i, j);
  }
  return t;
}

Matrix multiply(const Matrix& a, const Matrix& b) {
  Matrix c = zeros(a.rows, b.columns);
  for (std::int64_t i = 0; i < a.rows; ++i) {
    for (std::int64_t l = 0; l < a.columns; ++l) {
      for (std::int64_t j = 0; j < b.columns; ++j) c.at(i, j) += a.at(i, l) * b.at(l, j);
    }
  }
  return c;
}

// ka a + kb b, element by element.
Matrix combine(double ka, const Matrix& a, double kb, const Matrix& b) {
  Matrix c = zeros(a.rows, a.columns);
  for (std::size_t i = 0; i < c.elements.size(); ++i) {
    c.elements[i] = ka * a.elements[i] + kb * b.elements[i];
  }
  return c;
}

Matrix orthogonalise(const Matrix& u, const MuonParams& params) {
  const bool standing = u.rows > u.columns;
  Matrix x = standing ? transpose(u) : u;
  double sum = 0;
  for (const double value : x.elements) sum += value * value;
  for (double& value : x.elements) value /= std::sqrt(sum) + params.eps;
  for (int i = 0; i < params.iterations; ++i) {
    const Matrix a = multiply(x, transpose(x));
    const Matrix b = combine(MuonOp::kB, a, MuonOp::kC, multiply(a, a));
    x = combine(MuonOp::kA, x, 1, multiply(b, x));
  }
  return standing ? transpose(x) : x;
}

template <typename Real>
void step(const Tensor& parameters, const Tensor& gradients, const Tensor& momentum_buffer,
          const MuonMatrix& matrix, double lr, const MuonParams& params, const Tensor& bf16_copy) {
  Matrix u = zeros(matrix.rows, matrix.columns);
  for (std::int64_t i = 0; i < matrix.elements(); ++i) {
    const double g = gradients.data<Real>()[matrix.offset + i];
    Real& b = momentum_buffer.data<Real>()[matrix.offset + i];
    b = static_cast<Real>(params.momentum * b + (1 - params.momentum) * g);
    u.elements[static_cast<std::size_t>(i)] =
        params.nesterov ? params.momentum * b + (1 - params.momentum) * g : b;
  }
  const Matrix x = orthogonalise(u, params);
  const double scale = std::sqrt(
      std::max(1.0, static_cast<double>(matrix.rows) / static_cast<double>(matrix.columns)));
  for (std::int64_t i = 0; i < matrix.elements(); ++i) {
    Real& w = parameters.data<Real>()[matrix.offset + i];
    w = static_cast<Real>(w * (1 - lr * params.weight_decay) -
                          lr * scale * x.elements[static_cast<std::size_t>(i)]);
    if (bf16_copy.defined()) {
      bf16_copy.data<bfloat16>()[matrix.offset + i] = bfloat16(static_cast<float>(w));
    }
  }
}

void run_step(const Tensor& parameters, const Tensor& gradients, const Tensor& momentum_buffer,
              std::span<const MuonMatrix> matrices, const StepState& state,
              const MuonParams& params, const Tensor& bf16_copy, const Tensor& /*scratch*/) {
  const double lr = *state.lr.data<float>();
  for_real("muon", parameters.dtype(), [&]<typename Real>() {
    for (const MuonMatrix& matrix : matrices) {
      step<Real>(parameters, gradients, momentum_buffer, matrix, lr, params, bf16_copy);
    }
  });
  *state.step.data<std::int32_t>() += 1;
}

std::int64_t no_scratch(std::span<const MuonMatrix> /*matrices*/) { return 0; }

}  // namespace

MuonOp MuonOp::reference() { return {.dtypes = kReal, .step = run_step, .scratch = no_scratch}; }

}  // namespace cucina
