// batch_norm's front door: known values, running statistics, hard inputs, errors.
#include "kernels/batch_norm/batch_norm.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "core/autograd.h"
#include "tests/pooling_and_norm/expect_error.h"

namespace cucina {
namespace {

// gamma, beta and running statistics as a new layer has them.
struct Layer {
  explicit Layer(std::int64_t c, DType dtype = DType::f32)
      : gamma(Tensor::full({c}, 1, dtype)),
        beta(Tensor::zeros({c}, dtype)),
        running_mean(Tensor::zeros({c}, dtype)),
        running_var(Tensor::full({c}, 1, dtype)) {}
  Tensor operator()(const Tensor& x, const BatchNormParams& params = {}) const {
    return batch_norm(x, gamma, beta, running_mean, running_var, params);
  }
  Tensor gamma, beta, running_mean, running_var;
};

class BatchNormOnBackend : public ::testing::TestWithParam<std::optional<Backend>> {
  const ScopedBackend backend_{GetParam()};
};
INSTANTIATE_TEST_SUITE_P(, BatchNormOnBackend,
                         ::testing::Values(std::nullopt, Backend::hand, Backend::reference));

TEST_P(BatchNormOnBackend, NormalisesByTheBiasedVarianceOfTheBatch) {
  const Layer layer(1);
  layer.gamma.fill(2);
  layer.beta.fill(10);
  // mean 5, variance (9 + 1 + 1 + 9) / 4 = 5
  const Tensor y = layer(Tensor::from<float>({2, 4, 6, 8}, {4, 1}), {.eps = 0});
  const std::vector<float> got = y.to_vector<float>();
  const double step = 2 / std::sqrt(5.0);
  for (int i = 0; i < 4; ++i) {
    EXPECT_NEAR(got[static_cast<std::size_t>(i)], 10 + (2 * i - 3) * step, 1e-5) << i;
  }
}

TEST_P(BatchNormOnBackend, RunningStatisticsMoveByMomentumAndTheUnbiasedVariance) {
  const Layer layer(1);
  layer(Tensor::from<float>({2, 4, 6, 8}, {4, 1}), {.momentum = 0.25f});
  EXPECT_FLOAT_EQ(static_cast<float>(layer.running_mean.item()), 0.25f * 5);
  EXPECT_FLOAT_EQ(static_cast<float>(layer.running_var.item()), 0.75f + 0.25f * 20 / 3);
}

TEST_P(BatchNormOnBackend, EvaluationUsesTheRunningStatisticsAndLeavesThem) {
  const Layer layer(2);
  layer.running_mean.copy_from(Tensor::from<float>({1, -1}, {2}));
  layer.running_var.copy_from(Tensor::from<float>({4, 16}, {2}));
  const Tensor y =
      layer(Tensor::from<float>({3, 3, 5, 7}, {1, 1, 2, 2}), {.eps = 0, .training = false});
  EXPECT_EQ(y.to_vector<float>(), (std::vector<float>{1, 1, 2, 2}));
  EXPECT_EQ(layer.running_mean.to_vector<float>(), (std::vector<float>{1, -1}));
  EXPECT_EQ(layer.running_var.to_vector<float>(), (std::vector<float>{4, 16}));
}

TEST_P(BatchNormOnBackend, EvaluationsGradientUsesTheStatisticsOfItsForward) {
  const Layer layer(1);
  layer.running_var.fill(4);
  Tensor x = Tensor::from<float>({1, 2}, {2, 1}).set_requires_grad(true);
  const Tensor y = layer(x, {.eps = 0, .training = false});
  layer.running_var.fill(100);
  backward(y, {}, Tensor::full(y.shape(), 1));
  EXPECT_EQ(x.grad().to_vector<float>(), (std::vector<float>{0.5, 0.5}));
}

TEST_P(BatchNormOnBackend, AMeanFarLargerThanTheDeviationCostsNoDigits) {
  // Values 4096 + {-1, 0, 1, ...} / 64 are exact in f32; E[x^2] - mean^2 would be 0 or negative.
  constexpr int kRows = 3000;
  std::vector<float> values(kRows);
  for (int i = 0; i < kRows; ++i) {
    values[static_cast<std::size_t>(i)] = 4096 + static_cast<float>(i % 3 - 1) / 64;
  }
  const Layer layer(1);
  const std::vector<float> y =
      layer(Tensor::from(values, {kRows, 1}), {.eps = 0}).to_vector<float>();
  // A sum of 3000 such values rounds the mean by some 1e-3 of them, which is part of the deviation
  // here: of the result two digits are right, not seven.
  for (std::size_t i = 0; i < 3; ++i) {
    EXPECT_NEAR(y[i], (static_cast<double>(i) - 1) * std::sqrt(1.5), 0.15) << i;
  }
}

TEST_P(BatchNormOnBackend, AnEmptyBatchLeavesTheRunningStatistics) {
  Layer layer(3);
  layer.gamma.set_requires_grad(true);
  const Tensor y = layer(Tensor::zeros({0, 2, 2, 3}));
  EXPECT_EQ(y.shape(), (Shape{0, 2, 2, 3}));
  EXPECT_EQ(layer.running_mean.to_vector<float>(), (std::vector<float>{0, 0, 0}));
  EXPECT_EQ(layer.running_var.to_vector<float>(), (std::vector<float>{1, 1, 1}));
  backward(y, {}, Tensor::zeros(y.shape()));
  EXPECT_EQ(layer.gamma.grad().to_vector<float>(), (std::vector<float>{0, 0, 0}));
}

TEST_P(BatchNormOnBackend, NanStaysInItsChannel) {
  const Layer layer(2);
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const std::vector<float> y =
      layer(Tensor::from<float>({1, nan, 3, 4, 5, 9}, {3, 2})).to_vector<float>();
  for (std::size_t i = 0; i < y.size(); ++i) EXPECT_EQ(std::isnan(y[i]), i % 2 == 1) << i;
  EXPECT_FALSE(std::isnan(layer.running_mean.to_vector<float>()[0]));
  EXPECT_TRUE(std::isnan(layer.running_mean.to_vector<float>()[1]));
  EXPECT_TRUE(std::isnan(layer.running_var.to_vector<float>()[1]));
}

TEST_P(BatchNormOnBackend, GradientsOfFrozenParametersAreNotComputed) {
  Layer layer(2);
  layer.beta.set_requires_grad(true);
  const Tensor y = layer(Tensor::from<float>({1, 2, 3, 5, 8, 9}, {3, 2}));
  backward(y, {}, Tensor::from<float>({1, 2, 3, 4, 5, 6}, {3, 2}));
  EXPECT_EQ(layer.beta.grad().to_vector<float>(), (std::vector<float>{9, 12}));
  EXPECT_FALSE(layer.gamma.grad().defined());
}

TEST(BatchNorm, RefusesShapesThatDisagree) {
  const Layer layer(3);
  expect_error(
      [&] {
        layer(Tensor::zeros({4, 5, 3}));
      },
      "batch_norm: x is (4, 5, 3) but must be (n, h, w, c) or (n, c)");
  expect_error(
      [&] {
        layer(Tensor::zeros({4, 0}));
      },
      "batch_norm: x is (4, 0): it has no channels");
  expect_error(
      [&] {
        layer(Tensor::zeros({4, 5}));
      },
      "batch_norm: gamma is (3) but x (4, 5) has 5 channels; it must be (5)");
  const Tensor x = Tensor::zeros({4, 3}), three = Tensor::zeros({3}), two = Tensor::zeros({2});
  expect_error([&] { batch_norm(x, three, two, three, three); }, "batch_norm: beta is (2)");
  expect_error([&] { batch_norm(x, three, three, two, three); }, "batch_norm: running_mean is (2)");
  expect_error([&] { batch_norm(x, three, three, three, two); }, "batch_norm: running_var is (2)");
  expect_error(
      [&] {
        layer(Tensor::zeros({4, 3}, DType::f64));
      },
      "batch_norm: gamma is f32 (3) on cpu but x is f64 (4, 3) on cpu");
}

TEST(BatchNorm, RefusesParamsOutOfRange) {
  const Layer layer(1);
  const Tensor x = Tensor::zeros({4, 1});
  expect_error([&] { layer(x, {.momentum = 1.5f}); },
               "batch_norm: momentum is 1.5 but must be in [0, 1]");
  expect_error([&] { layer(x, {.eps = -1}); },
               "batch_norm: eps is -1 but must be finite and not negative");
}

TEST(BatchNorm, RefusesToTrainOnOneValuePerChannel) {
  const Layer layer(3);
  const Tensor x = Tensor::zeros({1, 1, 1, 3});
  expect_error([&] { layer(x); },
               "batch_norm: one value per channel (n*h*w = 1) has no variance; train with a batch "
               "of 2 or more, or evaluate with training = false (x is (1, 1, 1, 3))");
  EXPECT_NO_THROW(layer(x, {.training = false}));
}

}  // namespace
}  // namespace cucina
