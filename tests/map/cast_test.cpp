// cast's promises: rounding to nearest even, Inf beyond, NaN kept, gradients in x's format.
#include "kernels/cast/cast.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "core/autograd.h"
#include "tests/error_of.h"

namespace cucina {
namespace {

using testing::error_of;

class CastBackends : public ::testing::TestWithParam<Backend> {
 protected:
  const ScopedBackend backend_{GetParam()};
};
INSTANTIATE_TEST_SUITE_P(, CastBackends,
                         ::testing::Values(Backend::reference, Backend::hand, Backend::vendor),
                         [](const auto& info) { return std::string(name(info.param)); });

TEST_P(CastBackends, RoundsToTheNearestBf16AndOfTwoToTheEven) {
  constexpr float kStep = 0x1p-7f;  // between bf16 numbers from 1 to 2
  const Tensor x = Tensor::from<float>(
      {1 + 0.49f * kStep, 1 + 0.5f * kStep, 1 + 0.51f * kStep, 1 + 1.5f * kStep, -1 - 1.5f * kStep},
      {5});
  EXPECT_EQ(cast(x, DType::bf16).to_vector<float>(),
            (std::vector<float>{1, 1, 1 + kStep, 1 + 2 * kStep, -1 - 2 * kStep}));
}

TEST_P(CastBackends, WhatIsTooLargeBecomesInfAndNanStaysNan) {
  constexpr float kInf = std::numeric_limits<float>::infinity();
  const Tensor x = Tensor::from<float>({3.4e38f, -kInf, std::nanf("")}, {3});
  const std::vector<float> y = cast(x, DType::bf16).to_vector<float>();
  EXPECT_EQ(y[0], kInf);
  EXPECT_EQ(y[1], -kInf);
  EXPECT_TRUE(std::isnan(y[2]));
  EXPECT_EQ(cast(Tensor::full({1}, 1e300, DType::f64), DType::f32).item(), kInf);
}

TEST_P(CastBackends, WideningIsExact) {
  const Tensor x = Tensor::from<float>({0.1f, -3e-39f, 65504}, {3});
  EXPECT_EQ(cast(x, DType::f64).to_vector<double>(), x.to_vector<double>());
  const Tensor narrow = x.to(DType::bf16);
  EXPECT_EQ(cast(narrow, DType::f32).to_vector<double>(), narrow.to_vector<double>());
}

TEST_P(CastBackends, TheGradientComesBackInTheFormatOfX) {
  Tensor x = Tensor::from<float>({1, 2, 3}, {3}).set_requires_grad(true);
  const Tensor y = cast(x, DType::bf16);
  backward(y, {}, Tensor::from<float>({0.5f, -4, 1}, {3}).to(DType::bf16));
  EXPECT_EQ(x.grad().dtype(), DType::f32);
  EXPECT_EQ(x.grad().to_vector<float>(), (std::vector<float>{0.5f, -4, 1}));
}

TEST(Cast, ReturnsATensorOfThatFormatAsItIs) {
  const Tensor x = Tensor::zeros({3});
  EXPECT_TRUE(cast(x, DType::f32).same(x));
}

TEST(Cast, RefusesIntegers) {
  EXPECT_EQ(error_of([] { cast(Tensor::zeros({1}), DType::i32); }),
            "cast: from f32 to i32; both must be f32, f64 or bf16");
  EXPECT_EQ(error_of([] { cast(Tensor::zeros({1}, DType::u8), DType::f32); }),
            "cast: from u8 to f32; both must be f32, f64 or bf16");
}

}  // namespace
}  // namespace cucina
