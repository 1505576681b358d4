// unary's front doors: values of the definitions, kinks, NaN and Inf, errors.
#include "kernels/unary/unary.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "core/autograd.h"
#include "tests/error_of.h"

namespace cucina {
namespace {

using testing::error_of;

constexpr float kInf = std::numeric_limits<float>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

class UnaryBackends : public ::testing::TestWithParam<Backend> {
 protected:
  const ScopedBackend backend_{GetParam()};
};
INSTANTIATE_TEST_SUITE_P(, UnaryBackends,
                         ::testing::Values(Backend::reference, Backend::hand, Backend::vendor),
                         [](const auto& info) { return std::string(name(info.param)); });

struct Result {
  float y, dx;
};

template <typename Op>
Result at(const Op& op, float x, float dy = 1) {
  Tensor in = Tensor::from<float>({x}, {1}).set_requires_grad(true);
  const Tensor y = op(in);
  backward(y, {}, Tensor::from<float>({dy}, {1}));
  return {static_cast<float>(y.item()), static_cast<float>(in.grad().item())};
}

// Values to six digits, from PyTorch 2.
TEST_P(UnaryBackends, KnownValues) {
  constexpr float kClose = 2e-6f;
  EXPECT_NEAR(at(gelu, 1.5f).y, 1.399789f, kClose);
  EXPECT_NEAR(at(gelu_tanh, 1.5f).y, 1.399572f, kClose);
  EXPECT_NEAR(at(silu, 1.5f).y, 1.226362f, kClose);
  EXPECT_NEAR(at(sigmoid, -2.0f).y, 0.119203f, kClose);
  EXPECT_NEAR(at(sigmoid, -2.0f).dx, 0.104994f, kClose);
  EXPECT_NEAR(at(tanh, 0.5f).y, 0.462117f, kClose);
  EXPECT_NEAR(at(tanh, 0.5f).dx, 0.786448f, kClose);
  const auto affine = [](const Tensor& x) { return scale(x, -2, 0.25); };
  EXPECT_EQ(at(affine, 3, 5).y, -5.75f);
  EXPECT_EQ(at(affine, 3, 5).dx, -10);
}

TEST_P(UnaryBackends, ReluStopsTheGradientAtZeroToo) {
  EXPECT_EQ(at(relu, 2, 3).y, 2);
  EXPECT_EQ(at(relu, 2, 3).dx, 3);
  for (const float x : {0.0f, -0.0f, -1.0f}) {
    EXPECT_EQ(at(relu, x, 3).y, 0) << x;
    EXPECT_EQ(at(relu, x, 3).dx, 0) << x;
  }
}

TEST_P(UnaryBackends, ClampKeepsWhatLiesBetween) {
  const auto clamped = [](const Tensor& x) { return clamp(x, -1, 2); };
  EXPECT_EQ(at(clamped, -1.5f, 3).y, -1);
  EXPECT_EQ(at(clamped, -1.5f, 3).dx, 0);
  EXPECT_EQ(at(clamped, 0.5f, 3).y, 0.5f);
  EXPECT_EQ(at(clamped, 0.5f, 3).dx, 3);
  EXPECT_EQ(at(clamped, kInf, 3).y, 2);
  EXPECT_EQ(at(clamped, kInf, 3).dx, 0);
}

TEST_P(UnaryBackends, LargeNumbersSaturate) {
  for (const float x : {100.0f, 1e30f, kInf}) {
    EXPECT_EQ(at(sigmoid, x).y, 1) << x;
    EXPECT_EQ(at(tanh, x).y, 1) << x;
    EXPECT_EQ(at(tanh, -x).y, -1) << x;
    EXPECT_LE(at(sigmoid, -x).y, 1e-30f) << x;
    EXPECT_EQ(at(relu, x).y, x) << x;
  }
}

class UnaryHand : public ::testing::Test {
 protected:
  const ScopedBackend backend_{Backend::hand};
};

TEST_F(UnaryHand, NanStaysNan) {
  for (const auto op :
       {relu, gelu, gelu_tanh, silu, sigmoid, static_cast<Tensor (*)(const Tensor&)>(tanh)}) {
    EXPECT_TRUE(std::isnan(at(op, kNan).y));
  }
  EXPECT_TRUE(std::isnan(at([](const Tensor& x) { return clamp(x, 0, 1); }, kNan).y));
}

// Packs of 16 bytes and what is left over give the same bits as elements one by one.
TEST_F(UnaryHand, TakesTensorsThatStartAnywhere) {
  constexpr std::int64_t kElements = 1031;
  const auto storage = Storage::allocate(4 * (kElements + 1), Device::cpu);
  const Tensor x = Tensor::over(storage, 4, {kElements}, DType::f32);
  for (std::int64_t i = 0; i < kElements; ++i)
    x.data<float>()[i] = 0.01f * static_cast<float>(i - 500);
  EXPECT_EQ(gelu(x).to_vector<float>(), gelu(x.clone()).to_vector<float>());
}

TEST(Unary, RefusesBadArgumentsInASentence) {
  EXPECT_EQ(error_of([] { clamp(Tensor::zeros({1}), 2, 1); }),
            "clamp: low is 2 but must be at most high, 1");
  EXPECT_EQ(error_of([] { relu(Tensor::zeros({1}, DType::i32)); }),
            "unary: backend auto has no kernel for i32 on cpu; choose another with --backend or "
            "CUCINA_BACKEND");
}

}  // namespace
}  // namespace cucina
