// dropout's promises: which numbers it draws, how many elements go, and that backward drops the
// same.
#include "kernels/dropout/dropout.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "core/autograd.h"
#include "tests/error_of.h"

namespace cucina {
namespace {

using testing::error_of;

DropoutParams at_step(float p, int step) {
  return {.p = p,
          .random = RandomStream(5, "test"),
          .step = Tensor::from(std::vector<std::int32_t>{step}, {1})};
}

// What every element was multiplied by.
std::vector<float> factors(const Shape& shape, const DropoutParams& params,
                           DType dtype = DType::f32) {
  return dropout(Tensor::full(shape, 1.0, dtype), params).to_vector<float>();
}

class DropoutBackends : public ::testing::TestWithParam<Backend> {
 protected:
  const ScopedBackend backend_{GetParam()};
};
INSTANTIATE_TEST_SUITE_P(, DropoutBackends, ::testing::Values(Backend::reference, Backend::hand),
                         [](const auto& info) { return std::string(name(info.param)); });

TEST_P(DropoutBackends, DrawsTheNumbersItsContractNames) {
  // Large enough for several parts of a loop, and with a rest that fills no pack.
  const DropoutParams params = at_step(0.25f, 17);
  const std::vector<float> f = factors({3, 90001}, params);
  for (std::size_t i = 0; i < f.size(); ++i) {
    const bool keep = params.random.uniform(17, i) >= 0.25f;
    ASSERT_EQ(f[i], keep ? 1 / 0.75f : 0) << "element " << i;
  }
}

TEST_P(DropoutBackends, DropsTheShareOfElementsItIsAskedTo) {
  constexpr int kAll = 1 << 16;
  for (const float p : {0.1f, 0.5f, 0.9f}) {
    int kept = 0;
    for (const float f : factors({kAll}, at_step(p, 0))) kept += f != 0;
    // A binomial count lies within 4.5 standard deviations but once in 150,000 seeds.
    EXPECT_NEAR(kept, kAll * (1.0 - p), 4.5 * std::sqrt(kAll * p * (1.0 - p))) << "p = " << p;
  }
}

TEST_P(DropoutBackends, BackwardDropsWhatForwardDropped) {
  Tensor x = Tensor::full({5, 3, 2, 7}, 1.0);
  x.set_requires_grad(true);
  const Tensor y = dropout(x, at_step(0.5f, 9));
  backward(y, {}, Tensor::full(y.shape(), 3.0));
  const std::vector<float> dx = x.grad().to_vector<float>(), factor = y.to_vector<float>();
  for (std::size_t i = 0; i < dx.size(); ++i) EXPECT_EQ(dx[i], 3 * factor[i]) << "element " << i;
}

TEST_P(DropoutBackends, TheMaskFollowsStepAndStream) {
  const DropoutParams params = at_step(0.5f, 3);
  const std::vector<float> mask = factors({256}, params);
  EXPECT_EQ(factors({256}, params), mask);
  DropoutParams other_layer = params;
  other_layer.random = params.random.substream(1);
  EXPECT_NE(factors({256}, other_layer), mask);
  // A captured step is replayed with the same arguments: only the number in memory changes.
  params.step.fill(4);
  EXPECT_NE(factors({256}, params), mask);
}

TEST_P(DropoutBackends, NanStaysWhereItIsDroppedToo) {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  for (const float y : dropout(Tensor::full({257}, nan), at_step(0.5f, 0)).to_vector<float>()) {
    EXPECT_TRUE(std::isnan(y));
  }
}

TEST_P(DropoutBackends, TakesATensorThatStartsAnywhere) {
  constexpr std::int64_t kElements = 1001;
  const auto storage = Storage::allocate(4 * (kElements + 1), Device::cpu);
  const Tensor x = Tensor::over(storage, 4, {kElements}, DType::f32);
  x.fill(1);
  EXPECT_EQ(dropout(x, at_step(0.5f, 0)).to_vector<float>(),
            factors({kElements}, at_step(0.5f, 0)));
}

TEST(Dropout, TheMaskIsTheSameInEveryFormat) {
  const std::vector<float> f32 = factors({1031}, at_step(0.5f, 2));
  EXPECT_EQ(factors({1031}, at_step(0.5f, 2), DType::bf16), f32);
  EXPECT_EQ(factors({1031}, at_step(0.5f, 2), DType::f64), f32);
}

TEST(Dropout, IsTheIdentityOutsideTrainingAndForPZero) {
  const Tensor x = Tensor::full({3}, 1.0);
  EXPECT_TRUE(dropout(x, {.p = 0.5f, .training = false}).same(x));
  EXPECT_TRUE(dropout(x, {.p = 0}).same(x));
}

TEST(Dropout, RefusesBadArgumentsInASentence) {
  const Tensor x = Tensor::zeros({3});
  EXPECT_EQ(error_of([&] { dropout(x, at_step(1, 0)); }), "dropout: p is 1 but must be in [0, 1)");
  EXPECT_EQ(error_of([&] { dropout(x, {.p = std::nanf("")}); }),
            "dropout: p is nan but must be in [0, 1)");
  EXPECT_EQ(error_of([&] { dropout(x, {.p = 0.5f}); }),
            "dropout: step is missing; give the training step as i32 (1) on cpu");
  EXPECT_EQ(error_of([&] { dropout(x, {.p = 0.5f, .step = Tensor::zeros({2}, DType::i32)}); }),
            "dropout: step is i32 (2) on cpu but must be i32 (1) on cpu, as x is");
}

}  // namespace
}  // namespace cucina
