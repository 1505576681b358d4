// softmax's and log_softmax's promises: known values, extreme logits, and what is refused.
#include "kernels/softmax/softmax.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "core/autograd.h"
#include "tests/error_of.h"

namespace cucina {
namespace {

using testing::error_of;

constexpr double kInf = std::numeric_limits<double>::infinity();
constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

// Short rows, and rows wider than a warp and a block; the classes beyond those a test names are at
// -Inf: they change nothing.
class SoftmaxRows : public ::testing::TestWithParam<std::tuple<Backend, int>> {
 protected:
  std::size_t classes() const { return static_cast<std::size_t>(std::get<1>(GetParam())); }
  Tensor row(std::vector<double> values) const {
    values.resize(classes(), -kInf);
    return Tensor::from(values, {1, static_cast<std::int64_t>(classes())});
  }
  const ScopedBackend backend_{std::get<0>(GetParam())};
};
INSTANTIATE_TEST_SUITE_P(, SoftmaxRows,
                         ::testing::Combine(::testing::Values(Backend::reference, Backend::hand),
                                            ::testing::Values(3, 100, 3000)));

TEST_P(SoftmaxRows, KnownValues) {
  const std::vector<double> y =
      softmax(row({std::log(1.0), std::log(2.0), std::log(5.0)})).to_vector<double>();
  const std::vector<double> logs =
      log_softmax(row({std::log(1.0), std::log(2.0), std::log(5.0)})).to_vector<double>();
  const std::vector<double> wanted{1 / 8., 2 / 8., 5 / 8.};
  for (std::size_t k = 0; k < classes(); ++k) {
    EXPECT_NEAR(y[k], k < 3 ? wanted[k] : 0, 1e-15) << k;
    if (k < 3) {
      EXPECT_NEAR(logs[k], std::log(wanted[k]), 1e-15) << k;
    } else {
      EXPECT_EQ(logs[k], -kInf) << k;
    }
  }
}

TEST_P(SoftmaxRows, TheLargestMayComeFirstOrLastAndBeHuge) {
  for (const double shift : {0.0, 1e6, -1e6}) {
    std::vector<double> values(classes()), mirrored(classes());
    double sum = 0;
    for (std::size_t k = 0; k < classes(); ++k) {
      values[k] = shift - static_cast<double>(k) / 4;
      mirrored[classes() - 1 - k] = values[k];
      sum += std::exp(values[k] - shift);
    }
    const std::vector<double> y = softmax(row(values)).to_vector<double>();
    const std::vector<double> z = softmax(row(mirrored)).to_vector<double>();
    for (std::size_t k = 0; k < classes(); ++k) {
      EXPECT_NEAR(y[k], std::exp(values[k] - shift) / sum, 1e-15) << k;
      EXPECT_NEAR(z[classes() - 1 - k], y[k], 1e-15) << k;
    }
  }
}

TEST_P(SoftmaxRows, WhatHasNoProbabilitiesIsNan) {
  for (const auto& bad : std::vector<std::vector<double>>{
           {kNan, 1, 2}, {1, 2, kNan}, {0, kInf, 0}, {kInf, kInf, 0}, {-kInf, -kInf, -kInf}}) {
    for (const auto op : {softmax, log_softmax}) {
      for (const double y : op(row(bad)).to_vector<double>()) EXPECT_TRUE(std::isnan(y));
    }
  }
}

TEST_P(SoftmaxRows, GradientsAreThoseOfTheirFormulas) {
  Tensor x = row({std::log(1.0), std::log(2.0), std::log(5.0)});
  x.set_requires_grad(true);
  std::vector<double> weights(classes(), 0.0);
  weights[0] = 8;
  weights[1] = 16;
  const Tensor dy = Tensor::from(weights, x.shape());
  backward(softmax(x), {}, dy);  // sum dy y = 1 + 4
  const std::vector<double> dx = x.grad().to_vector<double>();
  x.clear_grad();
  backward(log_softmax(x), {}, dy);  // sum dy = 24
  const std::vector<double> log_dx = x.grad().to_vector<double>();
  const std::vector<double> wanted{3 / 8., 22 / 8., -25 / 8.}, log_wanted{5, 10, -15};
  for (std::size_t k = 0; k < classes(); ++k) {
    EXPECT_NEAR(dx[k], k < 3 ? wanted[k] : 0, 1e-14) << k;
    EXPECT_NEAR(log_dx[k], k < 3 ? log_wanted[k] : 0, 1e-13) << k;
  }
}

TEST(Softmax, TheLastDimensionIsTheClasses) {
  const Tensor y = softmax(Tensor::from<float>({0, 0, 5, 5, 1, 1}, {3, 1, 2}));
  EXPECT_EQ(y.shape(), (Shape{3, 1, 2}));
  for (const float value : y.to_vector<float>()) EXPECT_FLOAT_EQ(value, 0.5f);
  EXPECT_EQ(softmax(Tensor::zeros({0, 7})).shape(), (Shape{0, 7}));
}

TEST(Softmax, RefusesXWithoutClasses) {
  EXPECT_EQ(error_of([] { softmax(Tensor::zeros({})); }),
            "softmax: x is () but must have a last dimension of at least 1");
  EXPECT_EQ(error_of([] {
              log_softmax(Tensor::zeros({3, 0}));
            }),
            "log_softmax: x is (3, 0) but must have a last dimension of at least 1");
}

}  // namespace
}  // namespace cucina
