// The promises of the pointwise losses and nll_loss: known values, gradients, extremes, errors.
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "core/autograd.h"
#include "kernels/nll_loss/nll_loss.h"
#include "kernels/pointwise_loss/pointwise_loss.h"
#include "kernels/softmax/softmax.h"
#include "kernels/softmax_cross_entropy/softmax_cross_entropy.h"
#include "tests/error_of.h"

namespace cucina {
namespace {

using testing::error_of;

constexpr double kInf = std::numeric_limits<double>::infinity();
constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
constexpr Reduction kSum = Reduction::sum;

Tensor vector_of(const std::vector<double>& values) {
  return Tensor::from(values, {static_cast<std::int64_t>(values.size())});
}

Tensor labels_of(const std::vector<std::int32_t>& labels) {
  return Tensor::from(labels, {static_cast<std::int64_t>(labels.size())});
}

class LossesOnBackend : public ::testing::TestWithParam<Backend> {
 protected:
  // The gradient of loss(x) at `values`.
  template <typename Loss>
  static std::vector<double> gradient(const std::vector<double>& values, const Loss& loss) {
    Tensor x = vector_of(values);
    x.set_requires_grad(true);
    backward(loss(x));
    return x.grad().to_vector<double>();
  }

 private:
  const ScopedBackend backend_{GetParam()};
};
INSTANTIATE_TEST_SUITE_P(, LossesOnBackend, ::testing::Values(Backend::reference, Backend::hand));

void expect_near(const std::vector<double>& got, const std::vector<double>& wanted) {
  ASSERT_EQ(got.size(), wanted.size());
  for (std::size_t i = 0; i < got.size(); ++i) {
    EXPECT_NEAR(got[i], wanted[i], 1e-14 * std::fabs(wanted[i])) << i;
  }
}

TEST_P(LossesOnBackend, MseIsTheMeanOrSumOfSquares) {
  const Tensor x = vector_of({1, 2, 5}), target = vector_of({1, 4, 1});
  EXPECT_NEAR(mse_loss(x, target).item(), (4 + 16) / 3., 1e-15);
  EXPECT_EQ(mse_loss(x, target, kSum).item(), 20);
  EXPECT_EQ(mse_loss(x, target).shape(), Shape());
  expect_near(gradient({1, 2, 5}, [&](const Tensor& x) { return mse_loss(x, target); }),
              {0, -4 / 3., 8 / 3.});
  expect_near(gradient({1, 2, 5}, [&](const Tensor& x) { return mse_loss(x, target, kSum); }),
              {0, -4, 8});
}

TEST_P(LossesOnBackend, HuberIsSquaredWithinDeltaAndLinearBeyond) {
  const std::vector<double> values{0.5, -1, 2, -4, 7};
  const Tensor target = vector_of({0, 0, 0, 0, 1});
  // delta 2: e^2 / 2, and 2 (|e| - 1) beyond
  EXPECT_NEAR(huber_loss(vector_of(values), target, 2, kSum).item(), 0.125 + 0.5 + 2 + 6 + 10,
              1e-14);
  expect_near(gradient(values, [&](const Tensor& x) { return huber_loss(x, target, 2, kSum); }),
              {0.5, -1, 2, -2, 2});
  expect_near(gradient(values, [&](const Tensor& x) { return huber_loss(x, target); }),
              {0.1, -0.2, 0.2, -0.2, 0.2});
}

TEST_P(LossesOnBackend, BceIsTheCrossEntropyOfTheLogitsProbabilities) {
  // The logit log 3 is the probability 3/4.
  const std::vector<double> values{std::log(3.0), std::log(3.0), -std::log(3.0), 0};
  const Tensor target = vector_of({1, 0, 0.25, 0.5});
  const double entropy = -0.25 * std::log(0.25) - 0.75 * std::log(0.75);
  EXPECT_NEAR(bce_with_logits(vector_of(values), target, {}, kSum).item(),
              std::log(4 / 3.) + std::log(4.0) + entropy + std::log(2.0), 1e-14);
  const std::vector<double> dx =
      gradient(values, [&](const Tensor& x) { return bce_with_logits(x, target, {}, kSum); });
  const std::vector<double> wanted{-0.25, 0.75, 0, 0};
  for (std::size_t i = 0; i < 4; ++i) EXPECT_NEAR(dx[i], wanted[i], 1e-15) << i;
}

TEST_P(LossesOnBackend, PosWeightCountsTheOnesOfItsColumn) {
  const Tensor x = Tensor::from<double>({0, 0, 0, 0}, {2, 2});
  const Tensor target = Tensor::from<double>({1, 0, 0, 1}, {2, 2});
  const Tensor weight = vector_of({3, 5});
  EXPECT_NEAR(bce_with_logits(x, target, weight, kSum).item(), (3 + 1 + 1 + 5) * std::log(2.0),
              1e-14);
  Tensor leaf = x.clone();
  leaf.set_requires_grad(true);
  backward(bce_with_logits(leaf, target, weight));
  expect_near(leaf.grad().to_vector<double>(), {-3 / 8., 1 / 8., 1 / 8., -5 / 8.});
}

TEST_P(LossesOnBackend, BceKeepsItsDigitsAtConfidentLogits) {
  for (const double x : {5.0, 20.0, 30.0, 800.0}) {
    for (const int t : {0, 1}) {
      const double right = t == 1 ? x : -x;
      expect_near({bce_with_logits(vector_of({right}), vector_of({1.0 * t})).item(),
                   bce_with_logits(vector_of({-right}), vector_of({1.0 * t})).item()},
                  {std::log1p(std::exp(-x)), x + std::log1p(std::exp(-x))});
      expect_near(
          gradient({right},
                   [&](const Tensor& x) { return bce_with_logits(x, vector_of({1.0 * t})); }),
          {(t == 1 ? -1 : 1) / (1 + std::exp(x))});
    }
  }
}

TEST_P(LossesOnBackend, OneNanOrInfIsInTheLossAndItsOwnGradient) {
  const Tensor zeros = vector_of({0, 0, 0});
  const auto check = [&](const auto& loss) {
    EXPECT_TRUE(std::isnan(loss(vector_of({1, kNan, 2})).item()));
    EXPECT_EQ(loss(vector_of({1, kInf, 2})).item(), kInf);
    const std::vector<double> dx = gradient({1, kNan, 2}, loss);
    for (std::size_t i = 0; i < 3; ++i) EXPECT_EQ(std::isnan(dx[i]), i == 1) << i;
  };
  check([&](const Tensor& x) { return mse_loss(x, zeros); });
  check([&](const Tensor& x) { return huber_loss(x, zeros); });
  check([&](const Tensor& x) { return bce_with_logits(x, zeros); });
}

TEST_P(LossesOnBackend, AMillionElementsLoseNothing) {
  constexpr std::int64_t kMany = 1 << 20;
  const Tensor x = Tensor::full({kMany}, 0.1), zeros = Tensor::zeros({kMany});
  EXPECT_NEAR(mse_loss(x, zeros).item(), 0.01, 1e-9);
  EXPECT_NEAR(mse_loss(x, zeros, kSum).item(), 0.01 * kMany, 1e-3);
}

TEST_P(LossesOnBackend, NllIsTheWeightedMeanOfTheLabels) {
  const Tensor logs =
      Tensor::from<double>({-1, -2, -4, -8, -16, -32}, {2, 3});  // what it is given is not judged
  EXPECT_EQ(nll_loss(logs, labels_of({1, 0})).item(), (2 + 8) / 2.);
  EXPECT_EQ(nll_loss(logs, labels_of({1, 0}), kSum).item(), 10);
  const Tensor weights = vector_of({3, 1, 100});
  EXPECT_EQ(nll_loss(logs, labels_of({1, 0}), Reduction::mean, weights).item(), (2 + 24) / 4.);
  Tensor leaf = logs.clone();
  leaf.set_requires_grad(true);
  backward(nll_loss(leaf, labels_of({1, 0}), Reduction::mean, weights));
  EXPECT_EQ(leaf.grad().to_vector<double>(), (std::vector<double>{0, -0.25, 0, -0.75, 0, 0}));
  EXPECT_TRUE(
      std::isnan(nll_loss(logs, labels_of({1, 1}), Reduction::mean, vector_of({3, 0, 1})).item()));
}

TEST_P(LossesOnBackend, NllOfLogSoftmaxIsSoftmaxCrossEntropy) {
  const Tensor logits = Tensor::from<double>({1, 3, 2, 0, -1, 5}, {2, 3});
  const Tensor weights = vector_of({3, 1, 0.5});
  const auto gradient = [&](const auto& loss) {
    Tensor x = logits.clone();
    x.set_requires_grad(true);
    backward(loss(x));
    return x.grad().to_vector<double>();
  };
  const Tensor labels = labels_of({2, 0});
  const std::vector<double> a = gradient(
      [&](const Tensor& x) { return nll_loss(log_softmax(x), labels, Reduction::mean, weights); });
  const std::vector<double> b =
      gradient([&](const Tensor& x) { return softmax_cross_entropy(x, labels, {}, weights).loss; });
  for (std::size_t i = 0; i < a.size(); ++i) EXPECT_NEAR(a[i], b[i], 1e-15) << i;
}

TEST_P(LossesOnBackend, NllSeesOnlyTheLabels) {
  const Tensor logs = Tensor::from<double>({-1, kNan, -kInf, -8}, {2, 2});
  EXPECT_EQ(nll_loss(logs, labels_of({0, 1})).item(), 4.5);
  EXPECT_TRUE(std::isnan(nll_loss(logs, labels_of({1, 1})).item()));
  EXPECT_EQ(nll_loss(logs, labels_of({0, 0})).item(), kInf);
}

TEST_P(LossesOnBackend, NllOfALabelThatIsNoClassIsNanWhereNobodyLooked) {
  const Tensor logs = Tensor::zeros({2, 3}, DType::f64), divisor = Tensor::zeros({1}, DType::f64);
  const Tensor loss = Tensor::zeros({}, DType::f64), dx = Tensor::zeros({2, 3}, DType::f64);
  for (const int label : {-1, 3}) {
    const NllLossInputs in{labels_of({0, label}), {}};
    choose(&NllLossOp::forward, logs)(logs, in, Reduction::sum, divisor, loss);
    EXPECT_TRUE(std::isnan(loss.item()));
    choose(&NllLossOp::backward, logs)(Tensor::full({}, 1, DType::f64), in, divisor,
                                       Write::overwrite, dx);
    const std::vector<double> values = dx.to_vector<double>();
    for (std::size_t i = 0; i < 6; ++i) EXPECT_EQ(std::isnan(values[i]), i >= 3) << i;
  }
}

TEST(Losses, Bf16HasAnF32Loss) {
  Tensor x = Tensor::from<float>({1, 2}, {2}).to(DType::bf16);
  x.set_requires_grad(true);
  const Tensor loss = mse_loss(x, Tensor::from<float>({0, 0.5}, {2}).to(DType::bf16));
  EXPECT_EQ(loss.dtype(), DType::f32);
  EXPECT_EQ(loss.item(), (1 + 2.25) / 2);
  backward(loss);
  EXPECT_EQ(x.grad().to_vector<float>(), (std::vector<float>{1, 1.5}));
}

TEST(Losses, RefuseBadArgumentsInASentence) {
  const Tensor x = Tensor::zeros({2, 3}), target = Tensor::zeros({2, 3});
  EXPECT_EQ(error_of([&] {
              mse_loss(x, Tensor::zeros({3, 2}));
            }),
            "mse_loss: x is (2, 3) but target is (3, 2); shapes must be equal");
  EXPECT_EQ(error_of([&] { huber_loss(x, target.to(DType::f64)); }),
            "huber_loss: x is f32 (2, 3) on cpu but target is f64 (2, 3) on cpu; dtype and device "
            "must agree");
  EXPECT_EQ(error_of([&] {
              bce_with_logits(Tensor::zeros({0, 3}), Tensor::zeros({0, 3}));
            }),
            "bce_with_logits: x is (0, 3); there is no loss of no elements");
  for (const double delta : {0.0, -1.0}) {
    EXPECT_EQ(error_of([&] { huber_loss(x, target, delta); }),
              fmt::format("huber_loss: delta is {} but must be finite and positive", delta));
  }
  EXPECT_EQ(error_of([&] { bce_with_logits(x, target, Tensor::zeros({2})); }),
            "bce_with_logits: pos_weight is f32 (2) on cpu but must be f32 (3) on cpu beside x, "
            "which is f32 (2, 3) on cpu");
  Tensor wanting = Tensor::zeros({2, 3}).set_requires_grad(true);
  EXPECT_EQ(error_of([&] { mse_loss(x, wanting); }),
            "mse_loss: target requires a gradient but gets none; give target.detach()");
}

TEST(Losses, NllRefusesBadArgumentsInASentence) {
  const Tensor logs = Tensor::zeros({2, 3}), labels = labels_of({0, 1});
  EXPECT_EQ(error_of([&] { nll_loss(Tensor::zeros({6}), labels); }),
            "nll_loss: log_probs is f32 (6) on cpu but must be (n, classes), neither of them 0");
  EXPECT_EQ(error_of([&] { nll_loss(logs, labels_of({0})); }),
            "nll_loss: labels has 1 rows but log_probs has 2");
  EXPECT_EQ(error_of([&] { nll_loss(logs, Tensor::zeros({2})); }),
            "nll_loss: labels is f32 (2) on cpu but must be i32 of rank 1: (n)");
  EXPECT_EQ(error_of([&] {
              nll_loss(logs, labels_of({0, 3}));
            }),
            "nll_loss: row 1 has label 3 but log_probs has 3 classes: 0 to 2");
  EXPECT_EQ(error_of([&] { nll_loss(logs, labels, Reduction::mean, Tensor::zeros({2})); }),
            "nll_loss: class_weights is f32 (2) on cpu but must be f32 (3) on cpu beside "
            "log_probs, which is f32 (2, 3) on cpu");
}

}  // namespace
}  // namespace cucina
