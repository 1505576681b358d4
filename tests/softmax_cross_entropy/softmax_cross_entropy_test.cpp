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

// Rows of a backend: reference or hand; short ones and ones longer than a warp, which have a kernel
// of their own. The classes beyond those a test names are at -Inf: they change nothing.
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
    choose(&SoftmaxCrossEntropyOp::forward, logits)(logits, labels, result, dlogits);
    return result;
  }

  const ScopedBackend backend_{std::get<0>(GetParam())};
};
INSTANTIATE_TEST_SUITE_P(, SoftmaxCrossEntropyRows,
                         ::testing::Combine(::testing::Values(Backend::reference, Backend::hand),
                                            ::testing::Values(4, 100)),
                         [](const auto& info) {
                           return fmt::format("{}_{}_classes", name(std::get<0>(info.param)),
                                              std::get<1>(info.param));
                         });

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
            "softmax_cross_entropy: labels is f32 (2) on cpu but must be i32 of rank 1: (n)");
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
