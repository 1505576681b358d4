// softmax_cross_entropy's promises: known values, extreme logits, and what is refused.
#include "kernels/softmax_cross_entropy/softmax_cross_entropy.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "core/autograd.h"
#include "core/error.h"
#include "tests/error_of.h"

namespace cucina {
namespace {

using testing::error_of;

constexpr double kInf = std::numeric_limits<double>::infinity();
constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

Tensor labels_of(const std::vector<std::int32_t>& labels) {
  return Tensor::from(labels, {static_cast<std::int64_t>(labels.size())});
}

// Rows of a backend: reference or hand; short ones and ones wider than a warp or a block, which
// have kernels of their own. The classes beyond those a test names are at -Inf: they change
// nothing.
class SoftmaxCrossEntropyRows : public ::testing::TestWithParam<std::tuple<Backend, int>> {
 protected:
  Tensor logits_of(const std::vector<std::vector<double>>& rows) const {
    const auto width = static_cast<std::size_t>(classes());
    std::vector<double> values;
    for (const auto& row : rows) {
      values.insert(values.end(), row.begin(), row.end());
      values.resize(values.size() + width - row.size(), -kInf);
    }
    return Tensor::from(values, {static_cast<std::int64_t>(rows.size()), classes()});
  }
  static int classes() { return std::get<1>(GetParam()); }

  // What the kernels make of it, past the checks of the front door.
  static SoftmaxCrossEntropy unchecked(const Tensor& logits, const Tensor& labels,
                                       const Tensor& dlogits) {
    const Shape rows{logits.size(0)};
    const SoftmaxCrossEntropy result{Tensor::zeros({}, logits.dtype()),
                                     Tensor::zeros(rows, logits.dtype()),
                                     Tensor::zeros(rows, DType::i32)};
    choose(&SoftmaxCrossEntropyOp::forward, logits)(
        {logits, labels, {}}, {}, Tensor::zeros({1}, logits.dtype()), result, dlogits);
    return result;
  }

  const ScopedBackend backend_{std::get<0>(GetParam())};
};
INSTANTIATE_TEST_SUITE_P(, SoftmaxCrossEntropyRows,
                         ::testing::Combine(::testing::Values(Backend::reference, Backend::hand),
                                            ::testing::Values(4, 100, 3000)),
                         [](const auto& info) {
                           return fmt::format("{}_{}_classes", name(std::get<0>(info.param)),
                                              std::get<1>(info.param));
                         });

class SoftmaxCrossEntropyOnBackend : public ::testing::TestWithParam<Backend> {
  const ScopedBackend backend_{GetParam()};
};
INSTANTIATE_TEST_SUITE_P(, SoftmaxCrossEntropyOnBackend,
                         ::testing::Values(Backend::reference, Backend::hand));

TEST_P(SoftmaxCrossEntropyRows, KnownValues) {
  // Softmax of (log 1, log 2, log 5) is (1/8, 2/8, 5/8).
  const std::vector<double> logs{std::log(1.0), std::log(2.0), std::log(5.0)};
  Tensor logits = logits_of({logs, logs, {0, 0}});
  logits.set_requires_grad(true);
  const auto result = softmax_cross_entropy(logits, labels_of({2, 0, 1}));
  const std::vector<double> expected{std::log(8.0 / 5), std::log(8.0), std::log(2.0)};
  const std::vector<double> losses = result.losses.to_vector<double>();
  for (std::size_t i = 0; i < 3; ++i) EXPECT_NEAR(losses[i], expected[i], 1e-15) << "row " << i;
  EXPECT_NEAR(result.loss.item(), std::log(8.0 / 5 * 8 * 2) / 3, 1e-15);
  EXPECT_EQ(result.loss.shape(), Shape());
  // Row 2 is a tie, which the first wins.
  EXPECT_EQ(result.correct.to_vector<int>(), (std::vector<int>{1, 0, 0}));

  backward(result.loss, {}, Tensor::full({}, 24, DType::f64));  // 24 / 3 rows = 8
  const std::vector<double> dx = logits.grad().to_vector<double>();
  const std::vector<std::vector<double>> gradient{{1, 2, -3, 0}, {-7, 2, 5, 0}, {4, -4, 0, 0}};
  for (std::size_t row = 0; row < 3; ++row) {
    for (std::size_t k = 0; k < static_cast<std::size_t>(classes()); ++k) {
      EXPECT_NEAR(dx[row * static_cast<std::size_t>(classes()) + k], k < 4 ? gradient[row][k] : 0,
                  1e-14)
          << "row " << row << ", class " << k;
    }
  }
}

TEST_P(SoftmaxCrossEntropyRows, HugeLogitsOverflowNothing) {
  const Tensor logits = logits_of({{1000, 1000}, {-1000, -1000}, {1e300, -1e300}, {-1000, 0}});
  const auto result = softmax_cross_entropy(logits, labels_of({0, 0, 0, 0}));
  EXPECT_EQ(result.losses.to_vector<double>(),
            (std::vector<double>{std::log(2.0), std::log(2.0), 0, 1000}));
  EXPECT_EQ(result.correct.to_vector<int>(), (std::vector<int>{1, 1, 1, 0}));
}

TEST_P(SoftmaxCrossEntropyRows, TheFirstOfEqualLargestLogitsIsTheAnswer) {
  std::vector<double> row(static_cast<std::size_t>(classes()), 1.0);
  row[0] = 0;
  const Tensor logits = logits_of({row, row, row});
  const auto result = softmax_cross_entropy(logits, labels_of({0, 1, 2}));
  EXPECT_EQ(result.correct.to_vector<int>(), (std::vector<int>{0, 1, 0}));
}

TEST_P(SoftmaxCrossEntropyRows, WhatHasNoProbabilitiesIsNanAndNotCorrect) {
  const std::vector<std::vector<double>> bad{
      {kNan, 1, 2}, {1, kNan, 0}, {0, 1, kNan}, {kInf, 0, 0}, {-kInf, -kInf}};
  for (std::size_t i = 0; i < bad.size(); ++i) {
    for (const int label : {0, 1, 2}) {
      Tensor logits = logits_of({{0, 0}, bad[i]});
      logits.set_requires_grad(true);
      const auto result = softmax_cross_entropy(logits, labels_of({0, label}));
      const std::vector<double> losses = result.losses.to_vector<double>();
      EXPECT_EQ(losses[0], std::log(2.0));
      EXPECT_TRUE(std::isnan(losses[1])) << "row " << i << ", label " << label;
      EXPECT_TRUE(std::isnan(result.loss.item()));
      EXPECT_EQ(result.correct.to_vector<int>(), (std::vector<int>{1, 0})) << "row " << i;
      backward(result.loss);
      const std::vector<double> dx = logits.grad().to_vector<double>();
      for (std::size_t k = 0; k < dx.size(); ++k) {
        EXPECT_EQ(std::isnan(dx[k]), k >= dx.size() / 2) << "row " << i << ", element " << k;
      }
    }
  }
}

TEST_P(SoftmaxCrossEntropyRows, ALabelThatIsNoClassIsNanWhereNobodyLooked) {
  const Tensor logits = logits_of({{0, 0}, {0, 0}, {0, 0}});
  const Tensor dlogits = Tensor::zeros(logits.shape(), DType::f64);
  const auto result = unchecked(logits, labels_of({-1, classes(), 0}), dlogits);
  const std::vector<double> losses = result.losses.to_vector<double>();
  EXPECT_TRUE(std::isnan(losses[0]));
  EXPECT_TRUE(std::isnan(losses[1]));
  EXPECT_EQ(losses[2], std::log(2.0));
  EXPECT_EQ(result.correct.to_vector<int>(), (std::vector<int>{0, 0, 1}));
  const std::vector<double> dx = dlogits.to_vector<double>();
  for (std::size_t i = 0; i < dx.size(); ++i) {
    EXPECT_EQ(std::isnan(dx[i]), i < dx.size() / 3 * 2) << "element " << i;
  }
}

TEST_P(SoftmaxCrossEntropyRows, GradientsAddUp) {
  Tensor logits = logits_of({{0, 0}});
  logits.set_requires_grad(true);
  for (int i = 0; i < 2; ++i) backward(softmax_cross_entropy(logits, labels_of({0})).loss);
  EXPECT_NEAR(logits.grad().to_vector<double>()[0], -1, 1e-15);
  EXPECT_NEAR(logits.grad().to_vector<double>()[1], 1, 1e-15);
}

TEST_P(SoftmaxCrossEntropyOnBackend, SmoothedLabelsArePyTorchs) {
  // Softmax of (log 1, log 2, log 5) is (1/8, 2/8, 5/8). Smoothed by 0.3, label 2 of 3 classes is
  // (0.1, 0.1, 0.8); classes at -Inf would make the loss Inf.
  Tensor logits = Tensor::from<double>({std::log(1.0), std::log(2.0), std::log(5.0)}, {1, 3});
  logits.set_requires_grad(true);
  const auto result = softmax_cross_entropy(logits, labels_of({2}), {.label_smoothing = 0.3});
  EXPECT_NEAR(result.loss.item(), 0.1 * std::log(8.0) + 0.1 * std::log(4.0) + 0.8 * std::log(1.6),
              1e-15);
  EXPECT_EQ(result.correct.to_vector<int>(), std::vector<int>{1});
  backward(result.loss);
  const std::vector<double> wanted{1 / 8. - 0.1, 2 / 8. - 0.1, 5 / 8. - 0.8};
  for (std::size_t k = 0; k < 3; ++k) {
    EXPECT_NEAR(logits.grad().to_vector<double>()[k], wanted[k], 1e-15) << k;
  }
}

TEST_P(SoftmaxCrossEntropyRows, SoftTargetsMixLabels) {
  const std::vector<double> logs{std::log(1.0), std::log(2.0), std::log(5.0)};
  std::vector<double> mixed(static_cast<std::size_t>(2 * classes()), 0.0);
  mixed[0] = 0.25;
  mixed[2] = 0.75;
  mixed[static_cast<std::size_t>(classes()) + 1] = 2;  // a row need not sum to 1
  Tensor logits = logits_of({logs, logs});
  logits.set_requires_grad(true);
  const auto result = softmax_cross_entropy(logits, Tensor::from(mixed, logits.shape()),
                                            {.reduction = Reduction::sum});
  const std::vector<double> losses = result.losses.to_vector<double>();
  EXPECT_NEAR(losses[0], 0.25 * std::log(8.0) + 0.75 * std::log(1.6), 1e-15);
  EXPECT_NEAR(losses[1], 2 * std::log(4.0), 1e-15);
  EXPECT_NEAR(result.loss.item(), losses[0] + losses[1], 1e-15);
  EXPECT_EQ(result.correct.to_vector<int>(), (std::vector<int>{1, 0}));
  backward(result.loss);
  const std::vector<double> dx = logits.grad().to_vector<double>();
  const std::vector<std::vector<double>> wanted{{1 / 8. - 0.25, 2 / 8., 5 / 8. - 0.75, 0},
                                                {2 / 8., 4 / 8. - 2, 10 / 8., 0}};
  for (std::size_t i = 0; i < dx.size(); ++i) {
    const std::size_t row = i / static_cast<std::size_t>(classes());
    const std::size_t k = i % static_cast<std::size_t>(classes());
    EXPECT_NEAR(dx[i], k < 4 ? wanted[row][k] : 0, 1e-14) << "row " << row << ", class " << k;
  }
}

TEST_P(SoftmaxCrossEntropyRows, OneHotTargetsAreLabels) {
  const Tensor logits = logits_of({{1, 3, 2}, {0, -1, 5}, {2, 2, 2}});
  std::vector<double> one_hot(static_cast<std::size_t>(3 * classes()), 0.0);
  for (std::size_t row = 0; row < 3; ++row) {
    one_hot[row * static_cast<std::size_t>(classes()) + row] = 1;
  }
  const auto a = softmax_cross_entropy(logits, labels_of({0, 1, 2}));
  const auto b = softmax_cross_entropy(logits, Tensor::from(one_hot, logits.shape()));
  for (std::size_t row = 0; row < 3; ++row) {
    EXPECT_NEAR(a.losses.to_vector<double>()[row], b.losses.to_vector<double>()[row], 1e-15);
  }
  EXPECT_NEAR(a.loss.item(), b.loss.item(), 1e-15);
  EXPECT_EQ(a.correct.to_vector<int>(), b.correct.to_vector<int>());
}

TEST_P(SoftmaxCrossEntropyRows, ClassWeightsWeighExamplesAndTheirMean) {
  const std::vector<double> logs{std::log(1.0), std::log(2.0), std::log(5.0)};
  std::vector<double> weights(static_cast<std::size_t>(classes()), 100.0);
  weights[0] = 3;
  weights[1] = 0;
  weights[2] = 1;
  const Tensor class_weights = Tensor::from(weights, {classes()});
  Tensor logits = logits_of({logs, logs, logs});
  logits.set_requires_grad(true);
  const auto labels = labels_of({0, 1, 2});
  const auto result = softmax_cross_entropy(logits, labels, {}, class_weights);
  const std::vector<double> losses = result.losses.to_vector<double>();
  EXPECT_NEAR(losses[0], 3 * std::log(8.0), 1e-14);
  EXPECT_EQ(losses[1], 0);
  EXPECT_NEAR(losses[2], std::log(1.6), 1e-15);
  EXPECT_NEAR(result.loss.item(), (3 * std::log(8.0) + std::log(1.6)) / (3 + 0 + 1), 1e-14);
  backward(result.loss, {}, Tensor::full({}, 32, DType::f64));
  const std::vector<double> dx = logits.grad().to_vector<double>();
  const std::vector<std::vector<double>> wanted{{-21, 6, 15}, {0, 0, 0}, {1, 2, -3}};
  for (std::size_t i = 0; i < dx.size(); ++i) {
    const std::size_t row = i / static_cast<std::size_t>(classes());
    const std::size_t k = i % static_cast<std::size_t>(classes());
    EXPECT_NEAR(dx[i], k < 3 ? wanted[row][k] : 0, 1e-13) << "row " << row << ", class " << k;
  }
  const auto sum =
      softmax_cross_entropy(logits, labels, {.reduction = Reduction::sum}, class_weights);
  EXPECT_NEAR(sum.loss.item(), 3 * std::log(8.0) + std::log(1.6), 1e-14);
  // There is no mean of examples that count for nothing.
  EXPECT_TRUE(std::isnan(
      softmax_cross_entropy(logits, labels_of({1, 1, 1}), {}, class_weights).loss.item()));
}

TEST_P(SoftmaxCrossEntropyOnBackend, SmoothingWithClassWeightsIsPyTorchs) {
  // PyTorch: ((1 - s) w[label] loss(label) + s / K sum_k w[k] loss(k)) / w[label]
  const Tensor logits = Tensor::from<double>({0, std::log(3.0)}, {1, 2});
  const auto result = softmax_cross_entropy(logits, labels_of({1}), {.label_smoothing = 0.2},
                                            Tensor::from<double>({5, 2}, {2}));
  const double first = std::log(4.0), second = std::log(4.0 / 3);
  EXPECT_NEAR(result.loss.item(), (0.8 * 2 * second + 0.1 * (5 * first + 2 * second)) / 2, 1e-15);
}

TEST_P(SoftmaxCrossEntropyRows, TargetsWithoutProbabilitiesAreNanAndNotCorrect) {
  const std::vector<std::vector<double>> bad{{kNan, 1, 2}, {kInf, 0, 0}, {-kInf, -kInf}};
  for (const auto& row : bad) {
    Tensor logits = logits_of({row});
    logits.set_requires_grad(true);
    std::vector<double> target(static_cast<std::size_t>(classes()), 0.0);
    target[1] = 1;
    const auto result = softmax_cross_entropy(logits, Tensor::from(target, logits.shape()));
    EXPECT_TRUE(std::isnan(result.loss.item()));
    EXPECT_EQ(result.correct.to_vector<int>(), std::vector<int>{0});
    backward(result.loss);
    for (const double dx : logits.grad().to_vector<double>()) EXPECT_TRUE(std::isnan(dx));
  }
}

TEST(SoftmaxCrossEntropy, Bf16LogitsHaveAnF32Loss) {
  Tensor logits = Tensor::from<float>({0, 1, 2, 3}, {2, 2}).to(DType::bf16);
  logits.set_requires_grad(true);
  const auto result = softmax_cross_entropy(logits, labels_of({0, 1}));
  EXPECT_EQ(result.loss.dtype(), DType::f32);
  EXPECT_EQ(result.losses.dtype(), DType::f32);
  EXPECT_NEAR(result.loss.item(), (std::log1p(std::exp(1.0)) + std::log1p(std::exp(-1.0))) / 2,
              1e-6);
  backward(result.loss);
  EXPECT_EQ(logits.grad().dtype(), DType::bf16);
  EXPECT_NEAR(logits.grad().to_vector<float>()[1], 0.5 / (1 + std::exp(-1.0)), 2e-3);
}

TEST(SoftmaxCrossEntropy, RecordsOnlyTheLossAndOnlyWhenAsked) {
  Tensor logits = Tensor::zeros({2, 3});
  EXPECT_EQ(node_of(softmax_cross_entropy(logits, labels_of({0, 1})).loss), nullptr);
  logits.set_requires_grad(true);
  const auto result = softmax_cross_entropy(logits, labels_of({0, 1}));
  EXPECT_NE(node_of(result.loss), nullptr);
  EXPECT_EQ(node_of(result.losses), nullptr);
}

TEST(SoftmaxCrossEntropy, RefusesBadArgumentsInASentence) {
  const Tensor logits = Tensor::zeros({2, 3});
  EXPECT_EQ(error_of([&] {
              softmax_cross_entropy(Tensor::zeros({6}), labels_of({0, 1}));
            }),
            "softmax_cross_entropy: logits is f32 (6) on cpu but must be of rank 2: (n, classes)");
  EXPECT_EQ(error_of([&] { softmax_cross_entropy(logits, Tensor::zeros({2})); }),
            "softmax_cross_entropy: targets is f32 (2) on cpu but must be labels, i32 (n), or f32 "
            "(2, 3) on cpu beside logits");
  EXPECT_EQ(error_of([&] {
              softmax_cross_entropy(logits, Tensor::zeros({2, 1}, DType::i32));
            }),
            "softmax_cross_entropy: labels is i32 (2, 1) on cpu but must be i32 of rank 1: (n)");
  EXPECT_EQ(error_of([&] {
              softmax_cross_entropy(logits, labels_of({0, 1, 2}));
            }),
            "softmax_cross_entropy: labels has 3 rows but logits has 2");
  EXPECT_EQ(error_of([&] {
              softmax_cross_entropy(Tensor::zeros({0, 3}), labels_of({}));
            }),
            "softmax_cross_entropy: logits is f32 (0, 3) on cpu; there is no mean over 0 rows and "
            "no label among 0 classes");
}

TEST(SoftmaxCrossEntropy, RefusesTargetsWeightsAndParamsThatDoNotFit) {
  const Tensor logits = Tensor::zeros({2, 3}), labels = labels_of({0, 1});
  EXPECT_EQ(error_of([&] {
              softmax_cross_entropy(logits, Tensor::zeros({2, 4}));
            }),
            "softmax_cross_entropy: targets is f32 (2, 4) on cpu but must be labels, i32 (n), or "
            "f32 (2, 3) on cpu beside logits");
  EXPECT_EQ(error_of([&] {
              softmax_cross_entropy(logits.to(DType::bf16), Tensor::zeros({2, 3}, DType::bf16));
            }),
            "softmax_cross_entropy: targets is bf16 (2, 3) on cpu but must be labels, i32 (n), or "
            "f32 (2, 3) on cpu beside logits");
  EXPECT_EQ(error_of([&] { softmax_cross_entropy(logits, labels, {}, Tensor::zeros({2})); }),
            "softmax_cross_entropy: class_weights is f32 (2) on cpu but must be f32 (3) on cpu "
            "beside logits, which is f32 (2, 3) on cpu");
  for (const double smoothing : {-0.1, 1.5}) {
    EXPECT_EQ(
        error_of([&] { softmax_cross_entropy(logits, labels, {.label_smoothing = smoothing}); }),
        fmt::format("softmax_cross_entropy: label_smoothing is {} but must be in [0, 1]",
                    smoothing));
  }
  Tensor targets = Tensor::zeros({2, 3}).set_requires_grad(true);
  EXPECT_EQ(error_of([&] { softmax_cross_entropy(logits, targets); }),
            "softmax_cross_entropy: targets requires a gradient but gets none; give "
            "targets.detach()");
}

TEST(SoftmaxCrossEntropy, NamesTheRowWhoseLabelIsNoClass) {
  const Tensor logits = Tensor::zeros({2, 3});
  for (const int label : {-1, 3}) {
    try {
      softmax_cross_entropy(logits, labels_of({0, label}));
      ADD_FAILURE() << "label " << label << " was taken";
    } catch (const Error& error) {
      EXPECT_EQ(error.what(),
                fmt::format("softmax_cross_entropy: row 1 has label {} but logits has 3 classes: 0 "
                            "to 2",
                            label));
      EXPECT_EQ(error.code(), ExitCode::bad_file);
    }
  }
}

}  // namespace
}  // namespace cucina
