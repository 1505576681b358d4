// muon against an independent implementation by eigenvalues, and its front door.
#include "optim/muon/muon.h"

#include <gtest/gtest.h>

#include <cmath>

#include "core/error.h"
#include "core/random.h"
#include "tests/error_of.h"
#include "tests/optim/trajectory.h"

namespace cucina {
namespace {

using testing::error_of;
using testing::kSteps;

StepState new_state(float lr) { return StepState::make(lr, Device::cpu); }

using Numbers = std::vector<double>;

// Eigenvalues and, as rows of `vectors`, eigenvectors of a symmetric (n, n) matrix: Jacobi's
// method.
struct Eigen {
  Numbers values, vectors;
};
Eigen eigen(Numbers a, std::size_t n) {
  Numbers v(n * n);
  for (std::size_t i = 0; i < n; ++i) v[i * n + i] = 1;
  for (int sweep = 0; sweep < 30; ++sweep) {
    for (std::size_t p = 0; p < n; ++p) {
      for (std::size_t q = p + 1; q < n; ++q) {
        if (a[p * n + q] == 0) continue;
        const double angle = 0.5 * std::atan2(2 * a[p * n + q], a[q * n + q] - a[p * n + p]);
        const double c = std::cos(angle), s = std::sin(angle);
        const auto rotate = [&](double& x, double& y) {
          const double before = x;
          x = c * before - s * y;
          y = s * before + c * y;
        };
        for (std::size_t i = 0; i < n; ++i) rotate(a[i * n + p], a[i * n + q]);
        for (std::size_t i = 0; i < n; ++i) rotate(a[p * n + i], a[q * n + i]);
        for (std::size_t i = 0; i < n; ++i) rotate(v[p * n + i], v[q * n + i]);
      }
    }
  }
  Eigen result{Numbers(n), v};
  for (std::size_t i = 0; i < n; ++i) result.values[i] = a[i * n + i];
  return result;
}

// u u^T for u (rows, columns).
Numbers gram(const Numbers& u, std::size_t rows, std::size_t columns) {
  Numbers g(rows * rows);
  for (std::size_t i = 0; i < rows; ++i) {
    for (std::size_t j = 0; j < rows; ++j) {
      for (std::size_t k = 0; k < columns; ++k) {
        g[i * rows + j] += u[i * columns + k] * u[j * columns + k];
      }
    }
  }
  return g;
}

// The iterations move nothing but the singular values: with x x^T = sum_i lambda_i v_i v_i^T each
// of them multiplies the part of x along v_i by a + b lambda_i + c lambda_i^2.
Numbers orthogonalised(Numbers u, std::size_t rows, std::size_t columns, const MuonParams& params) {
  double norm = 0;
  for (const double value : u) norm += value * value;
  for (double& value : u) value /= std::sqrt(norm) + params.eps;
  const Eigen e = eigen(gram(u, rows, columns), rows);
  Numbers x(u.size());
  for (std::size_t k = 0; k < rows; ++k) {
    double factor = 1, lambda = e.values[k];
    for (int i = 0; i < params.iterations; ++i) {
      const double p = 3.4445 - 4.7750 * lambda + 2.0315 * lambda * lambda;
      factor *= p;
      lambda *= p * p;
    }
    for (std::size_t j = 0; j < columns; ++j) {
      double along = 0;
      for (std::size_t i = 0; i < rows; ++i) along += e.vectors[k * rows + i] * u[i * columns + j];
      for (std::size_t i = 0; i < rows; ++i) {
        x[i * columns + j] += factor * along * e.vectors[k * rows + i];
      }
    }
  }
  return x;
}

constexpr std::size_t kRows = 5, kColumns = 9;
constexpr float kLr = 0.02f;

Numbers plain_trajectory(const MuonParams& params) {
  const testing::NoisyQuadratic problem(kRows * kColumns);
  Numbers x = problem.start(), b(x.size()), u(x.size());
  for (int step = 0; step < kSteps; ++step) {
    const Numbers g = problem.gradient(x, step);
    for (std::size_t i = 0; i < x.size(); ++i) {
      b[i] += (1 - params.momentum) * (g[i] - b[i]);
      u[i] = params.nesterov ? g[i] + params.momentum * (b[i] - g[i]) : b[i];
    }
    const Numbers direction = orthogonalised(u, kRows, kColumns, params);
    for (std::size_t i = 0; i < x.size(); ++i) {
      x[i] -= kLr * (params.weight_decay * x[i] + direction[i]);
    }
  }
  return x;
}

Numbers trajectory(const MuonParams& params, DType dtype) {
  const testing::NoisyQuadratic problem(kRows * kColumns);
  const Shape shape{kRows, kColumns};
  const Tensor x = Tensor::from(problem.start(), shape).to(dtype);
  const Tensor b = Tensor::zeros(shape, dtype);
  const MuonMatrix matrix = as_muon_matrix(0, shape);
  const StepState state = new_state(kLr);
  for (int step = 0; step < kSteps; ++step) {
    const Numbers g = problem.gradient(x.to_vector<double>(), step);
    muon_step(x, Tensor::from(g, shape).to(dtype), b, {&matrix, 1}, state, params);
  }
  EXPECT_EQ(state.step.item(), kSteps);
  return x.to_vector<double>();
}

struct Variant {
  std::string name;
  MuonParams params;
};

class MuonTrajectory : public ::testing::TestWithParam<std::tuple<Backend, Variant>> {};
INSTANTIATE_TEST_SUITE_P(
    , MuonTrajectory,
    ::testing::Combine(
        ::testing::Values(Backend::reference, Backend::hand),
        ::testing::Values(
            Variant{"muon", {}}, Variant{"plain_momentum", {.nesterov = false}},
            Variant{"airbench", {.momentum = 0.6, .iterations = 3}},
            Variant{"all", {.momentum = 0.8, .iterations = 4, .weight_decay = 0.1, .eps = 0.01}})),
    [](const auto& info) {
      return fmt::format("{}_{}", name(std::get<0>(info.param)), std::get<1>(info.param).name);
    });

TEST_P(MuonTrajectory, IsThatOfAnIndependentImplementation) {
  const ScopedBackend backend(std::get<0>(GetParam()));
  const MuonParams& params = std::get<1>(GetParam()).params;
  const Numbers plain = plain_trajectory(params);
  for (const DType dtype : {DType::f32, DType::f64}) {
    // A direction of the gradient that is small beside its norm is blown up by up to kA^iterations,
    // some 480, and with it what rounding did to it.
    EXPECT_LE(testing::relative_difference(trajectory(params, dtype), plain),
              20 * testing::trajectory_tolerance(dtype))
        << name(dtype);
  }
}

class MuonBackends : public ::testing::TestWithParam<Backend> {
 protected:
  const ScopedBackend backend_{GetParam()};
};
INSTANTIATE_TEST_SUITE_P(, MuonBackends, ::testing::Values(Backend::reference, Backend::hand),
                         [](const auto& info) { return std::string(name(info.param)); });

Numbers noise(std::size_t n) {
  const RandomStream random(4, "noise");
  Numbers values(n);
  for (std::size_t i = 0; i < n; ++i) values[i] = random.normal(0, i);
  return values;
}

// What a step of lr 1 without momentum adds to a matrix, negated: X, scaled.
Numbers direction_of(const Numbers& gradient, std::int64_t rows, std::int64_t columns,
                     const MuonParams& params = {.momentum = 0}) {
  const Shape shape{rows, columns};
  const Tensor x = Tensor::zeros(shape, DType::f64);
  const MuonMatrix matrix = as_muon_matrix(0, shape);
  muon_step(x, Tensor::from(gradient, shape), Tensor::zeros(shape, DType::f64), {&matrix, 1},
            new_state(1), params);
  Numbers direction = x.to_vector<double>();
  for (double& value : direction) value = -value;
  return direction;
}

TEST_P(MuonBackends, SingularValuesEndNearOne) {
  constexpr std::size_t kLarge = 24, kLong = 30;
  for (const double lambda :
       eigen(gram(direction_of(noise(kLarge * kLong), kLarge, kLong), kLarge, kLong), kLarge)
           .values) {
    EXPECT_GT(std::sqrt(lambda), 0.65);
    EXPECT_LT(std::sqrt(lambda), 1.25);
  }
}

TEST_P(MuonBackends, AStandingMatrixIsALyingOneTransposedAndScaled) {
  const Numbers gradient = noise(6 * 24);
  Numbers transposed(gradient.size());
  for (std::size_t i = 0; i < 6; ++i) {
    for (std::size_t j = 0; j < 24; ++j) transposed[j * 6 + i] = gradient[i * 24 + j];
  }
  const Numbers lying = direction_of(gradient, 6, 24);
  const Numbers standing = direction_of(transposed, 24, 6);
  for (std::size_t i = 0; i < 6; ++i) {
    for (std::size_t j = 0; j < 24; ++j) {
      // sqrt(24 / 6) = 2. The norm is summed in another order.
      EXPECT_NEAR(standing[j * 6 + i], 2 * lying[i * 24 + j], 1e-12) << i << ", " << j;
    }
  }
}

TEST_P(MuonBackends, TheSizeOfTheGradientDoesNotMatter) {
  Numbers gradient = noise(7 * 11);
  const Numbers direction = direction_of(gradient, 7, 11);
  for (double& value : gradient) value *= 1e6;
  const Numbers of_large = direction_of(gradient, 7, 11);
  for (std::size_t i = 0; i < direction.size(); ++i) EXPECT_NEAR(of_large[i], direction[i], 1e-5);
}

TEST_P(MuonBackends, AZeroGradientChangesNothing) {
  for (const double value : direction_of(Numbers(15), 3, 5)) EXPECT_EQ(value, 0);
}

TEST_P(MuonBackends, OnlyTheMatricesChangeAndANanStaysInItsMatrix) {
  const std::vector<MuonMatrix> matrices{{.offset = 2, .rows = 2, .columns = 3},
                                         {.offset = 10, .rows = 3, .columns = 2}};
  Numbers gradient = noise(20);
  gradient[11] = std::nan("");
  const Tensor x = Tensor::zeros({20}, DType::f64), b = Tensor::zeros({20}, DType::f64);
  const Tensor copy = Tensor::full({20}, 7, DType::bf16);
  const StepState state = new_state(1);
  muon_step(x, Tensor::from(gradient, {20}), b, matrices, state, {}, copy);
  const Numbers values = x.to_vector<double>(), buffer = b.to_vector<double>();
  const std::vector<float> copied = copy.to_vector<float>();
  const std::vector<float> rounded = x.to(DType::bf16).to_vector<float>();
  for (std::size_t i = 0; i < 20; ++i) {
    const bool first = i >= 2 && i < 8, second = i >= 10 && i < 16;
    EXPECT_EQ(std::isnan(values[i]), second) << i;
    EXPECT_EQ(values[i] != 0, first || second) << i;
    EXPECT_EQ(buffer[i] != 0, first || second) << i;
    if (!second) {
      EXPECT_EQ(copied[i], first ? rounded[i] : 7) << i;
    }
  }
  EXPECT_EQ(state.step.item(), 1);
}

TEST_P(MuonBackends, FiltersAreMatricesOfOneRowEach) {
  const MuonMatrix matrix = as_muon_matrix(3, {8, 5, 3, 2});
  EXPECT_EQ(matrix.offset, 3);
  EXPECT_EQ(matrix.rows, 8);
  EXPECT_EQ(matrix.columns, 30);
}

TEST(Muon, RefusesBadArgumentsInASentence) {
  const Tensor x = Tensor::zeros({12});
  const StepState state = new_state(1);
  const auto step_of = [&](const std::vector<MuonMatrix>& matrices, const MuonParams& params = {}) {
    return error_of([&] { muon_step(x, x, x, matrices, state, params); });
  };
  EXPECT_EQ(error_of([&] { as_muon_matrix(0, {12}); }),
            "muon: a parameter of shape (12) is no matrix; it needs two dimensions or more");
  EXPECT_EQ(error_of([&] { muon_step(x, Tensor::zeros({4}), x, {}, state); }),
            "muon: gradients is f32 (4) on cpu but parameters is f32 (12) on cpu; they must agree");
  EXPECT_EQ(error_of([&] { muon_step(x, x, {}, {}, state); }),
            "muon: momentum_buffer is missing; it must be f32 (12) on cpu, as parameters");
  EXPECT_EQ(error_of([&] { muon_step(x, x, x, {}, {}); }),
            "muon: lr is missing; it must be f32 (1) on cpu");
  EXPECT_EQ(step_of({{0, 3, 0}}), "muon: the matrix at 0 is 3 x 0; it must have elements");
  EXPECT_EQ(step_of({{1, 3, 4}}), "muon: the matrix at 1 is 3 x 4 but the arena has 12 elements");
  EXPECT_EQ(step_of({{-1, 3, 4}}), "muon: the matrix at -1 is 3 x 4 but the arena has 12 elements");
  EXPECT_EQ(step_of({{5, 2, 2}, {0, 2, 3}}), "muon: the matrices at 0 and 5 overlap");
  EXPECT_EQ(step_of({}, {.momentum = 1}), "muon: momentum is 1 but must be in [0, 1)");
  EXPECT_EQ(step_of({}, {.iterations = 0}), "muon: iterations is 0 but must be at least 1");
  EXPECT_EQ(step_of({}, {.weight_decay = -1}), "muon: weight_decay is -1 but must be at least 0");
  EXPECT_EQ(step_of({}, {.eps = -1}), "muon: eps is -1 but must be at least 0");
}

}  // namespace
}  // namespace cucina
