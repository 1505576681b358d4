// batch_norm's front door: known values, running statistics, hard inputs, errors.
#include "kernels/batch_norm/batch_norm.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "core/autograd.h"
#include "kernels/binary/binary.h"
#include "kernels/unary/unary.h"
#include "tests/error_of.h"

namespace cucina {
namespace {

using testing::error_of;

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
  // E[x^2] - mean^2 would be a difference of numbers near 1e8, whose f32 neighbours are 8 apart.
  constexpr int kRows = 30000;
  std::vector<float> values(kRows);
  std::uint32_t state = 1;
  for (float& value : values) {
    state = state * 1664525u + 1013904223u;
    // uniform within +-sqrt(3) 1e-2: standard deviation 1e-2
    value = 1e4f + 1.7320508e-2f * (static_cast<float>(state >> 8) / (1 << 23) - 1);
  }
  double mean = 0, var = 0;
  for (const float value : values) mean += value / double{kRows};
  for (const float value : values) var += (value - mean) * (value - mean) / double{kRows};
  Layer layer(1);
  const std::vector<float> y =
      layer(Tensor::from(values, {kRows, 1}), {.momentum = 1, .eps = 0}).to_vector<float>();
  EXPECT_NEAR(layer.running_var.item() * (kRows - 1) / kRows, var, 2e-3 * var);
  // The neighbours of 1e4 among f32 are 1e-3 apart: a mean rounded to one of them is off by up to
  // 5 % of the deviation, and one rounding more may double that.
  EXPECT_NEAR(layer.running_mean.item(), mean, 1e-3);
  for (std::size_t i = 0; i < 100; ++i) {
    EXPECT_NEAR(y[i], (values[i] - mean) / std::sqrt(var), 0.11) << i;
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

struct Results {
  std::vector<float> y, dx, dgamma, dbeta, dresidual, running_var;
};

// y, the gradients of a weighted sum of it, and the running variance; `apply` adds the residual.
template <typename Apply>
Results results(Apply apply) {
  Layer layer(3);
  layer.gamma.copy_from(Tensor::from<float>({1, -2, 0.5}, {3}));
  layer.beta.copy_from(Tensor::from<float>({0.1f, -0.2f, 0.3f}, {3}));
  layer.gamma.set_requires_grad(true);
  layer.beta.set_requires_grad(true);
  std::vector<float> values, more, weights;
  for (int i = 0; i < 30; ++i) {
    values.push_back(static_cast<float>(i * 7 % 30) / 10);
    more.push_back(static_cast<float>(i * 11 % 30) / 15 - 1);
    weights.push_back(static_cast<float>(i * 13 % 30) / 15 - 1);
  }
  Tensor x = Tensor::from(values, {10, 3}).set_requires_grad(true);
  Tensor residual = Tensor::from(more, {10, 3}).set_requires_grad(true);
  const Tensor y = apply(layer, x, residual);
  backward(y, {}, Tensor::from(weights, {10, 3}));
  const auto gradient = [](const Tensor& of) {
    return of.grad().defined() ? of.grad().to_vector<float>() : std::vector<float>();
  };
  return {y.to_vector<float>(), gradient(x),        gradient(layer.gamma),
          gradient(layer.beta), gradient(residual), layer.running_var.to_vector<float>()};
}

void expect_alike(const Results& a, const Results& b) {
  const auto expect_near = [](const char* what, const std::vector<float>& got,
                              const std::vector<float>& wanted) {
    ASSERT_EQ(got.size(), wanted.size()) << what;
    for (std::size_t i = 0; i < got.size(); ++i) {
      EXPECT_NEAR(got[i], wanted[i], 1e-5) << what << ' ' << i;
    }
  };
  expect_near("y", a.y, b.y);
  expect_near("dx", a.dx, b.dx);
  expect_near("dgamma", a.dgamma, b.dgamma);
  expect_near("dbeta", a.dbeta, b.dbeta);
  expect_near("dresidual", a.dresidual, b.dresidual);
  expect_near("running_var", a.running_var, b.running_var);
}

TEST_P(BatchNormOnBackend, FusedReluIsReluOfTheResult) {
  for (const bool training : {true, false}) {
    expect_alike(results([&](const Layer& layer, const Tensor& x, const Tensor&) {
                   return layer(x, {.training = training, .relu = true});
                 }),
                 results([&](const Layer& layer, const Tensor& x, const Tensor&) {
                   return relu(layer(x, {.training = training}));
                 }));
  }
}

TEST_P(BatchNormOnBackend, AFusedResidualIsAddedToTheResultBeforeRelu) {
  for (const bool training : {true, false}) {
    for (const bool rectify : {true, false}) {
      expect_alike(results([&](const Layer& layer, const Tensor& x, const Tensor& residual) {
                     return batch_norm(x, layer.gamma, layer.beta, layer.running_mean,
                                       layer.running_var, {.training = training, .relu = rectify},
                                       residual);
                   }),
                   results([&](const Layer& layer, const Tensor& x, const Tensor& residual) {
                     const Tensor sum = add(layer(x, {.training = training}), residual);
                     return rectify ? relu(sum) : sum;
                   }));
    }
  }
}

TEST_P(BatchNormOnBackend, FusedReluLetsNanThrough) {
  const Layer layer(1);
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const Tensor x = Tensor::from<float>({1, nan, 3}, {3, 1});
  for (const float value : layer(x, {.relu = true}).to_vector<float>()) {
    EXPECT_TRUE(std::isnan(value));
  }
  const Tensor y = batch_norm(x, layer.gamma, layer.beta, Tensor::zeros({1}), Tensor::full({1}, 1),
                              {.training = false, .relu = true}, Tensor::zeros({3, 1}));
  EXPECT_TRUE(std::isnan(y.to_vector<float>()[1]));
  EXPECT_EQ(y.to_vector<float>()[0], y.to_vector<float>()[0]);
}

TEST(BatchNorm, StatisticsBesideBf16AreF32) {
  const Layer layer(2);
  const Tensor x = Tensor::from<float>({1, 256, 3, 257, 5, 258}, {3, 2}).to(DType::bf16);
  const Tensor y = layer(x);
  EXPECT_EQ(y.dtype(), DType::bf16);
  EXPECT_NEAR(y.to_vector<float>()[0], -std::sqrt(1.5), 1e-2);
  // 257 is no bf16: it was rounded to 256 before. The mean of 256, 256, 258 is none either.
  EXPECT_FLOAT_EQ(layer.running_mean.to_vector<float>()[1], 0.1f * (256 + 2 / 3.f));
}

TEST(BatchNorm, RefusesShapesThatDisagree) {
  const Layer layer(3);
  EXPECT_EQ(error_of([&] {
              layer(Tensor::zeros({4, 5, 3}));
            }),
            "batch_norm: x is (4, 5, 3) but must be (n, h, w, c) or (n, c)");
  EXPECT_EQ(error_of([&] {
              layer(Tensor::zeros({4, 0}));
            }),
            "batch_norm: x is (4, 0): it has no channels");
  EXPECT_EQ(error_of([&] {
              layer(Tensor::zeros({4, 5}));
            }),
            "batch_norm: gamma is (3) but x (4, 5) has 5 channels; it must be (5)");
  const Tensor x = Tensor::zeros({4, 3}), three = Tensor::zeros({3}), two = Tensor::zeros({2});
  EXPECT_EQ(error_of([&] { batch_norm(x, three, two, three, three); }),
            "batch_norm: beta is (2) but x (4, 3) has 3 channels; it must be (3)");
  EXPECT_EQ(error_of([&] { batch_norm(x, three, three, two, three); }),
            "batch_norm: running_mean is (2) but x (4, 3) has 3 channels; it must be (3)");
  EXPECT_EQ(error_of([&] { batch_norm(x, three, three, three, two); }),
            "batch_norm: running_var is (2) but x (4, 3) has 3 channels; it must be (3)");
  EXPECT_EQ(error_of([&] {
              layer(Tensor::zeros({4, 3}, DType::f64));
            }),
            "batch_norm: gamma is f32 (3) on cpu but must be f64 on cpu beside x, which is f64 (4, "
            "3) on cpu");
}

TEST(BatchNorm, RefusesParamsOutOfRange) {
  const Layer layer(1);
  const Tensor x = Tensor::zeros({4, 1});
  EXPECT_EQ(error_of([&] { layer(x, {.momentum = 1.5f}); }),
            "batch_norm: momentum is 1.5 but must be in [0, 1]");
  EXPECT_EQ(error_of([&] { layer(x, {.eps = -1}); }),
            "batch_norm: eps is -1 but must be finite and not negative");
}

TEST(BatchNorm, RefusesAResidualUnlikeX) {
  const Tensor x = Tensor::zeros({4, 3}), three = Tensor::zeros({3});
  EXPECT_EQ(error_of([&] {
              batch_norm(x, three, three, three, three, {}, Tensor::zeros({3, 4}));
            }),
            "batch_norm: residual is (3, 4) but x is (4, 3); shapes must be equal");
  EXPECT_EQ(error_of([&] { batch_norm(x, three, three, three, three, {}, x.to(DType::bf16)); }),
            "batch_norm: residual is bf16 (4, 3) on cpu but x is f32 (4, 3) on cpu; dtype and "
            "device must agree");
}

TEST(BatchNorm, RefusesToTrainOnOneValuePerChannel) {
  const Layer layer(3);
  const Tensor x = Tensor::zeros({1, 1, 1, 3});
  EXPECT_EQ(error_of([&] { layer(x); }),
            "batch_norm: one value per channel (n*h*w = 1) has no variance; train with a batch "
            "of 2 or more, or evaluate with training = false (x is (1, 1, 1, 3))");
  EXPECT_NO_THROW(layer(x, {.training = false}));
}

}  // namespace
}  // namespace cucina
