// dropout2d's promises: how many channels go, that they go whole, and that backward drops the same.
#include "kernels/dropout2d/dropout2d.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "core/autograd.h"
#include "core/error.h"
#include "tests/error_of.h"

namespace cucina {
namespace {

using testing::error_of;

Tensor step_number(int step) { return Tensor::from(std::vector<std::int32_t>{step}, {1}); }

Dropout2dParams at_step(float p, int step) {
  return {.p = p, .random = RandomStream(5, "test"), .step = step_number(step)};
}

// What every element was multiplied by.
std::vector<float> factors(const Shape& shape, const Dropout2dParams& params) {
  return dropout2d(Tensor::full(shape, 1.0), params).to_vector<float>();
}

class Dropout2dBackends : public ::testing::TestWithParam<Backend> {
 protected:
  const ScopedBackend backend_{GetParam()};
};
INSTANTIATE_TEST_SUITE_P(, Dropout2dBackends, ::testing::Values(Backend::reference, Backend::hand),
                         [](const auto& info) { return std::string(name(info.param)); });

TEST_P(Dropout2dBackends, DropsTheShareOfChannelsItIsAskedTo) {
  constexpr int kSamples = 128, kChannels = 128, kAll = kSamples * kChannels;
  for (const float p : {0.1f, 0.5f, 0.9f}) {
    int kept = 0;
    for (const float f : factors({kSamples, 1, 1, kChannels}, at_step(p, 0))) kept += f != 0;
    // A binomial count lies within 4.5 standard deviations but once in 150,000 seeds.
    const double deviation = std::sqrt(kAll * p * (1.0 - p));
    EXPECT_NEAR(kept, kAll * (1.0 - p), 4.5 * deviation) << "p = " << p;
  }
}

TEST_P(Dropout2dBackends, DropsWholeChannelsAndScalesTheOthers) {
  constexpr int kSamples = 6, kSide = 31, kPixels = kSide * kSide, kChannels = 5;
  const std::vector<float> f = factors({kSamples, kSide, kSide, kChannels}, at_step(0.75f, 1));
  int dropped = 0;
  for (int n = 0; n < kSamples; ++n) {
    for (int c = 0; c < kChannels; ++c) {
      const float first = f[static_cast<std::size_t>(n * kPixels * kChannels + c)];
      EXPECT_TRUE(first == 0 || first == 4) << "n = " << n << ", c = " << c << ": " << first;
      dropped += first == 0;
      for (int pixel = 0; pixel < kPixels; ++pixel) {
        const auto i = static_cast<std::size_t>((n * kPixels + pixel) * kChannels + c);
        ASSERT_EQ(f[i], first) << "n = " << n << ", pixel = " << pixel << ", c = " << c;
      }
    }
  }
  EXPECT_GT(dropped, 0);
  EXPECT_LT(dropped, kSamples * kChannels);
}

TEST_P(Dropout2dBackends, DrawsTheNumbersItsContractNames) {
  constexpr int kChannels = 300;  // two blocks of threads
  const auto params = at_step(0.3f, 17);
  const std::vector<float> f = factors({2, 1, 1, kChannels}, params);
  for (std::size_t i = 0; i < f.size(); ++i) {
    EXPECT_EQ(f[i] != 0, params.random.uniform(17, i) >= 0.3f) << "n C + c = " << i;
  }
}

TEST_P(Dropout2dBackends, KeepsTheExpectationOfEveryElement) {
  constexpr int kSteps = 4000;
  constexpr double kP = 0.25;
  const Tensor x = Tensor::from(std::vector<float>{1, -2, 3, 0.5f}, {1, 2, 1, 2});
  std::vector<double> mean(4);
  for (int step = 0; step < kSteps; ++step) {
    const std::vector<float> y = dropout2d(x, at_step(kP, step)).to_vector<float>();
    for (std::size_t i = 0; i < 4; ++i) mean[i] += y[i] / kSteps;
  }
  // One element's standard deviation is |x| sqrt(p / (1 - p)).
  for (std::size_t i = 0; i < 4; ++i) {
    const double wanted = x.to_vector<double>()[i];
    EXPECT_NEAR(mean[i], wanted, 4.5 * std::fabs(wanted) * std::sqrt(kP / (1 - kP) / kSteps))
        << "element " << i;
  }
}

TEST_P(Dropout2dBackends, BackwardDropsWhatForwardDropped) {
  Tensor x = Tensor::full({5, 3, 2, 7}, 1.0);
  x.set_requires_grad(true);
  const Tensor y = dropout2d(x, at_step(0.5f, 9));
  backward(y, {}, Tensor::full(y.shape(), 3.0));
  const std::vector<float> dx = x.grad().to_vector<float>(), factor = y.to_vector<float>();
  for (std::size_t i = 0; i < dx.size(); ++i) EXPECT_EQ(dx[i], 3 * factor[i]) << "element " << i;
}

TEST_P(Dropout2dBackends, TheMaskFollowsStepAndStream) {
  const Shape shape{8, 1, 1, 32};
  const Dropout2dParams params = at_step(0.5f, 3);
  const std::vector<float> mask = factors(shape, params);
  EXPECT_EQ(factors(shape, params), mask);
  Dropout2dParams other_layer = params;
  other_layer.random = params.random.substream(1);
  EXPECT_NE(factors(shape, other_layer), mask);
  // A captured step is replayed with the same arguments: only the number in memory changes.
  params.step.fill(4);
  EXPECT_NE(factors(shape, params), mask);
  params.step.fill(3);
  EXPECT_EQ(factors(shape, params), mask);
}

TEST_P(Dropout2dBackends, NanStaysInDroppedChannelsToo) {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const Tensor y = dropout2d(Tensor::full({4, 2, 2, 8}, nan), at_step(0.5f, 0));
  for (const float value : y.to_vector<float>()) EXPECT_TRUE(std::isnan(value));
}

TEST_P(Dropout2dBackends, TakesATensorThatStartsAnywhere) {
  const Shape shape{2, 3, 3, 8};
  const auto storage = Storage::allocate(4 + 4 * 2 * 9 * 8, Device::cpu);
  const Tensor x = Tensor::over(storage, 4, shape, DType::f32);
  x.fill(1);
  EXPECT_EQ(dropout2d(x, at_step(0.5f, 0)).to_vector<float>(), factors(shape, at_step(0.5f, 0)));
}

TEST(Dropout2d, IsTheIdentityOutsideTrainingAndForPZero) {
  const Tensor x = Tensor::full({1, 2, 2, 3}, 1.0);
  EXPECT_TRUE(dropout2d(x, {.p = 0.5f, .training = false}).same(x));
  EXPECT_TRUE(dropout2d(x, {.p = 0}).same(x));
}

TEST(Dropout2d, RefusesBadArgumentsInASentence) {
  const Tensor x = Tensor::zeros({1, 2, 2, 3});
  EXPECT_EQ(error_of([&] {
              dropout2d(Tensor::zeros({4, 3}), {});
            }),
            "dropout2d: x is f32 (4, 3) on cpu but must be of rank 4: (n, h, w, c)");
  for (const float p : {-0.5f, 1.0f}) {
    EXPECT_EQ(error_of([&] { dropout2d(x, at_step(p, 0)); }),
              fmt::format("dropout2d: p is {} but must be in [0, 1)", p));
  }
  EXPECT_EQ(error_of([&] { dropout2d(x, {.p = std::nanf("")}); }),
            "dropout2d: p is nan but must be in [0, 1)");
  EXPECT_EQ(error_of([&] { dropout2d(x, {.p = 0.5f}); }),
            "dropout2d: step is missing; give the training step as i32 (1) on cpu");
  EXPECT_EQ(error_of([&] { dropout2d(x, {.p = 0.5f, .step = Tensor::zeros({1})}); }),
            "dropout2d: step is f32 (1) on cpu but must be i32 (1) on cpu, as x is");
  EXPECT_EQ(error_of([&] { dropout2d(x, {.p = 0.5f, .step = Tensor::zeros({2}, DType::i32)}); }),
            "dropout2d: step is i32 (2) on cpu but must be i32 (1) on cpu, as x is");
}

}  // namespace
}  // namespace cucina
