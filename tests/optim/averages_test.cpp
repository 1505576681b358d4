// Promises of the averages over a training's weights and of clipping by value, against plain sums.
#include "optim/averages.h"

#include <gtest/gtest.h>

#include <cmath>

#include "tests/error_of.h"
#include "tests/optim/trajectory.h"

namespace cucina::optim {
namespace {

using cucina::testing::error_of;
using cucina::testing::NoisyQuadratic;
using cucina::testing::relative_difference;

constexpr std::int64_t kN = 97;

TEST(StochasticAverage, IsTheMeanOfWhatItTookIn) {
  const NoisyQuadratic problem(kN);
  const Tensor values = Tensor::zeros({kN});
  StochasticAverage average(values);
  std::vector<double> sum(kN);
  for (int count = 0; count < 20; ++count) {
    const std::vector<double> x = problem.gradient(problem.start(), count);
    values.copy_from(Tensor::from(x, {kN}).to(DType::f32));
    average.update(count);
    for (std::size_t i = 0; i < x.size(); ++i) sum[i] += x[i];
  }
  for (double& each : sum) each /= 20;
  EXPECT_LE(relative_difference(average.values().to_vector<double>(), sum), 1e-6);
}

TEST(Lookahead, MovesAPartOfTheWayAndTheValuesGoOnFromThere) {
  const Tensor values = Tensor::full({3}, 1, DType::f64);
  Lookahead lookahead(values, 0.25);
  values.fill(5);
  lookahead.update();
  EXPECT_EQ(values.to_vector<double>(), std::vector<double>(3, 2));  // 1 + (5 - 1) / 4
  EXPECT_EQ(lookahead.slow_values().to_vector<double>(), std::vector<double>(3, 2));
  values.fill(-2);
  lookahead.update();
  EXPECT_EQ(values.to_vector<double>(), std::vector<double>(3, 1));
  for (const double part : {0.0, -1.0, 1.5, std::nan("")})
    EXPECT_NE(error_of([&] { Lookahead(values, part); }).find("in (0, 1]"), std::string::npos);
}

TEST(ClipGradientValue, LimitsEachElementAndLeavesNan) {
  const Tensor gradients = Tensor::from(std::vector<float>{-3, 0.5f, 2, std::nanf("")}, {4});
  clip_gradient_value(gradients, 1);
  const std::vector<float> clipped = gradients.to_vector<float>();
  EXPECT_EQ(std::vector<float>(clipped.begin(), clipped.end() - 1),
            (std::vector<float>{-1, 0.5f, 1}));
  EXPECT_TRUE(std::isnan(clipped.back()));
  EXPECT_NE(error_of([&] { clip_gradient_value(gradients, 0); }).find("positive"),
            std::string::npos);
}

}  // namespace
}  // namespace cucina::optim
