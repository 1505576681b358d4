// Promises of initial values: variances and angles as published, and what follows from the data.
#include "nn/init.h"

#include <gtest/gtest.h>

#include <cmath>

#include "core/autograd.h"
#include "nn/models.h"
#include "tests/error_of.h"

namespace cucina::nn {
namespace {

using testing::error_of;

double variance_of(const Tensor& weight) {
  double squares = 0;
  for (const double value : weight.to_vector<double>()) squares += value * value;
  return squares / static_cast<double>(weight.elements());
}

TEST(Initial, XaviersVarianceCountsInputsAndOutputs) {
  // A filter's fans are 9 taps times 32 inputs and 64 outputs.
  const auto weight = Tensor::empty({64, 3, 3, 32});
  for (const Distribution distribution : {Distribution::normal, Distribution::uniform}) {
    xavier(weight, RandomStream(1, "init"), {.distribution = distribution, .gain = 1.5});
    const double expected = 1.5 * 1.5 * 2 / (9 * (32 + 64));
    // Four standard errors of 18,432 normal squares.
    EXPECT_NEAR(variance_of(weight) / expected, 1, 4 * std::sqrt(2.0 / 18432));
  }
  // A uniform distribution ends at sqrt(3) deviations.
  for (const double value : weight.to_vector<double>())
    ASSERT_LE(std::abs(value), 1.5 * std::sqrt(6.0 / (9 * (32 + 64))) * (1 + 1e-6));
}

// The greatest difference between the products of rows (or columns) and gain^2 times the identity.
double off_orthogonal(const Tensor& weight, bool rows, double gain) {
  const auto values = weight.to_vector<double>();
  const auto n = static_cast<std::size_t>(weight.size(0));
  const std::size_t m = values.size() / n;
  const auto at = [&](std::size_t i, std::size_t j) {
    return rows ? values[i * m + j] : values[j * m + i];
  };
  double worst = 0;
  for (std::size_t a = 0; a < (rows ? n : m); ++a)
    for (std::size_t b = 0; b < (rows ? n : m); ++b) {
      double product = 0;
      for (std::size_t j = 0; j < (rows ? m : n); ++j) product += at(a, j) * at(b, j);
      worst = std::max(worst, std::abs(product - (a == b ? gain * gain : 0)));
    }
  return worst;
}

TEST(Initial, OrthogonalIsItsWord) {
  const auto wide = Tensor::empty({6, 3, 3, 2}), tall = Tensor::empty({20, 7});
  orthogonal(wide, RandomStream(1, "init"), kReluGain);
  orthogonal(tall, RandomStream(1, "init"));
  EXPECT_LT(off_orthogonal(wide, true, kReluGain), 1e-6);  // rounded to f32
  EXPECT_LT(off_orthogonal(tall, false, 1), 1e-6);
}

TEST(Initial, DiracFiltersPassTheirInputsOn) {
  Conv2d layer(3, 5, 3, {.pad = 1, .bias = false});
  dirac(layer.weight());
  std::vector<float> pixels(2 * 4 * 4 * 3);
  for (std::size_t i = 0; i < pixels.size(); ++i) pixels[i] = static_cast<float>(i) + 1;
  const NoGrad no_grad;
  const std::vector<float> y = layer(Tensor::from(pixels, {2, 4, 4, 3})).to_vector<float>();
  for (std::size_t i = 0; i < 2 * 4 * 4; ++i)
    for (std::size_t c = 0; c < 5; ++c)
      ASSERT_EQ(y[i * 5 + c], c < 3 ? pixels[i * 3 + c] : 0) << i << ", channel " << c;
  EXPECT_NE(error_of([] {
              dirac(Tensor::empty({2, 2, 2, 2}));
            }).find("(2, 2, 2, 2)"),
            std::string::npos);
}

TEST(Initial, NamesChooseHowAWholeModelBegins) {
  Sequential net;
  const auto layer = net.make<Linear>("fc", 200, 100);
  for (const auto& [name, variance] :
       std::vector<std::pair<std::string, double>>{{"torch", 1.0 / 600},
                                                   {"kaiming-normal", 2.0 / 200},
                                                   {"kaiming-uniform", 2.0 / 200},
                                                   {"xavier-normal", 2.0 / 300},
                                                   {"xavier-uniform", 2.0 / 300},
                                                   {"orthogonal", 2.0 / 200}}) {
    initialise(net, 1, initial_named(name));
    // Four standard errors of 20,000 normal squares, and more than enough of the others.
    EXPECT_NEAR(variance_of(layer->weight()) / variance, 1, 4 * std::sqrt(2.0 / 20000)) << name;
    EXPECT_EQ(layer->bias().to_vector<float>(), std::vector<float>(100, 0.0f));
  }
  EXPECT_EQ(initial_names().size(), 6u);
  EXPECT_EQ(error_of([] { initial_named("he"); }),
            "init: 'he' is unknown; choose one of torch, kaiming-normal, kaiming-uniform, "
            "xavier-normal, xavier-uniform, orthogonal");
}

TEST(Initial, WhiteningMakesPatchesUncorrelatedAndOfOneScale) {
  // Neighbouring pixels and channels of these images depend on each other.
  const RandomStream random(1, "pixels");
  constexpr std::int64_t kSide = 12, kImages = 6;
  std::vector<float> pixels(kImages * kSide * kSide * 2);
  for (std::size_t i = 2; i < pixels.size(); ++i)
    pixels[i] = 0.6f * pixels[i - 2] + 0.3f * pixels[i - 1] + random.normal(0, i);
  const Tensor images = Tensor::from(pixels, {kImages, kSide, kSide, 2});
  Conv2d layer(2, 16, 2);
  initialise(layer, 1);
  whiten(layer, images, 0);

  const NoGrad no_grad;
  const std::vector<double> y = layer(images).to_vector<double>();
  const double n = static_cast<double>(y.size()) / 16;
  for (std::size_t a = 0; a < 8; ++a)
    for (std::size_t b = 0; b < 8; ++b) {
      double product = 0;
      for (std::size_t i = 0; i < y.size(); i += 16) {
        product += y[i + a] * y[i + b] / n;
        ASSERT_NEAR(y[i + a], -y[i + 8 + a], 1e-5);  // the second half is the first, negated
      }
      EXPECT_NEAR(product, a == b ? 1 : 0, 1e-4) << a << ", " << b;  // products of f32
    }
  // The first filter is along the greatest variance: the shortest, as it divides by the deviation.
  const auto weights = layer.weight().to_vector<double>();
  const auto square = [&](std::size_t filter) {
    double sum = 0;
    for (std::size_t j = 0; j < 8; ++j) sum += weights[filter * 8 + j] * weights[filter * 8 + j];
    return sum;
  };
  for (std::size_t filter = 1; filter < 8; ++filter)
    EXPECT_LE(square(filter - 1), square(filter) * (1 + 1e-6));

  EXPECT_NE(error_of([&] { whiten(Conv2d(2, 15, 2), images); }).find("15 filters of 8 numbers"),
            std::string::npos);
  EXPECT_NE(error_of([&] { whiten(Conv2d(3, 24, 2), images); }).find("(6, 12, 12, 2)"),
            std::string::npos);
}

TEST(Initial, AHeadBeginsWhereItsTargetsAreOnAverage) {
  Linear head(4, 3);
  initialise(head, 1);
  init_head(head, Tensor::from<std::int32_t>({0, 1, 1, 2, 1, 1, 1, 0, 1, 2}, {10}));
  EXPECT_EQ(head.weight().to_vector<float>(), std::vector<float>(12, 0));
  const std::vector<float> logs = head.bias().to_vector<float>();
  EXPECT_NEAR(logs[0], std::log(0.2), 1e-6);
  EXPECT_NEAR(logs[1], std::log(0.6), 1e-6);

  init_head(head, Tensor::from<float>({1, 10, -1, 3, 30, -1}, {2, 3}));
  EXPECT_EQ(head.bias().to_vector<float>(), (std::vector<float>{2, 20, -1}));

  init_head(head, Tensor::from<std::uint8_t>({0, 1, 1, 0, 1, 0}, {2, 3}));
  const std::vector<float> odds = head.bias().to_vector<float>();
  EXPECT_NEAR(odds[0], std::log(0.5 / 2.5), 1e-6);
  EXPECT_NEAR(odds[1], std::log(2.5 / 0.5), 1e-6);
  EXPECT_NEAR(odds[2], 0, 1e-6);

  zero_head(head);
  EXPECT_EQ(head.bias().to_vector<float>(), std::vector<float>(3, 0));
}

TEST(Initial, TargetsThatDoNotFitAHeadAreSentences) {
  const Linear head(4, 3), bare(4, 3, false);
  const auto refused = [](const Linear& layer, const Tensor& targets) {
    return error_of([&] { init_head(layer, targets); });
  };
  EXPECT_NE(refused(head, Tensor::from<std::int32_t>({3}, {1})).find("a class of 3"),
            std::string::npos);
  EXPECT_NE(refused(head, Tensor::from<float>({1, 2}, {1, 2})).find("f32 (1, 2)"),
            std::string::npos);
  EXPECT_NE(refused(head, Tensor::from<std::uint8_t>({1, 9, 9}, {1, 3})).find("must be 0 or 1"),
            std::string::npos);
  EXPECT_NE(refused(head, Tensor::from<float>({1, NAN, 2}, {1, 3})).find("mean of nan"),
            std::string::npos);
  EXPECT_NE(refused(bare, Tensor::from<std::int32_t>({0}, {1})).find("no bias"), std::string::npos);
}

}  // namespace
}  // namespace cucina::nn
