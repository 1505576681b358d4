// grad_norm's promises: a norm that loses nothing, and clipping as PyTorch's.
#include "optim/grad_norm/grad_norm.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "core/random.h"
#include "tests/error_of.h"

namespace cucina {
namespace {

using testing::error_of;

constexpr double kInf = std::numeric_limits<double>::infinity();

std::vector<double> noise(std::int64_t n) {
  const RandomStream random(9, "noise");
  std::vector<double> values(static_cast<std::size_t>(n));
  for (std::size_t i = 0; i < values.size(); ++i) values[i] = random.normal(0, i);
  return values;
}

double norm_of(const std::vector<double>& values) {
  long double sum = 0;
  for (const double value : values) sum += static_cast<long double>(value) * value;
  return static_cast<double>(std::sqrt(sum));
}

Tensor tensor_of(const std::vector<double>& values, DType dtype = DType::f32) {
  return Tensor::from(values, {static_cast<std::int64_t>(values.size())}).to(dtype);
}

class GradNormBackends : public ::testing::TestWithParam<Backend> {
 protected:
  const ScopedBackend backend_{GetParam()};
};
INSTANTIATE_TEST_SUITE_P(, GradNormBackends, ::testing::Values(Backend::reference, Backend::hand),
                         [](const auto& info) { return std::string(name(info.param)); });

TEST_P(GradNormBackends, IsTheNormToTheLastBits) {
  // More than the 8192 elements a block adds, and a size that is no multiple of anything. Plain
  // sums of n terms are off by some sqrt(n) 2^-53.
  for (const std::int64_t n : {1, 3, 127, 8191, 100'003}) {
    const Tensor wide = tensor_of(noise(n), DType::f64), narrow = wide.to(DType::f32);
    EXPECT_NEAR(gradient_norm(wide).item() / norm_of(wide.to_vector<double>()), 1, 1e-13) << n;
    EXPECT_NEAR(gradient_norm(narrow).item() / norm_of(narrow.to_vector<double>()), 1, 0x1p-24)
        << n;
  }
}

TEST_P(GradNormBackends, SquaresDoNotOverflow) {
  EXPECT_FLOAT_EQ(gradient_norm(tensor_of({3e37, 4e37})).item(), 5e37f);
  EXPECT_FLOAT_EQ(gradient_norm(tensor_of({3e-37, 4e-37})).item(), 5e-37f);
}

TEST_P(GradNormBackends, ClippedGradientsHaveTheNormAskedFor) {
  const std::vector<double> before = noise(10'007);
  const Tensor gradients = tensor_of(before, DType::f64);
  const Tensor norm = clip_gradient_norm(gradients, 0.5);
  EXPECT_NEAR(norm.item() / norm_of(before), 1, 1e-14);
  const double factor = 0.5 / (norm_of(before) + 1e-6);
  const std::vector<double> after = gradients.to_vector<double>();
  for (std::size_t i = 0; i < after.size(); ++i) {
    ASSERT_NEAR(after[i], before[i] * factor, 1e-15) << i;
  }
}

TEST_P(GradNormBackends, SmallGradientsKeepTheirBits) {
  const std::vector<double> before = noise(10'007);
  const Tensor gradients = tensor_of(before, DType::f64);
  clip_gradient_norm(gradients, norm_of(before) + 1e-3);
  EXPECT_EQ(gradients.to_vector<double>(), before);
}

TEST_P(GradNormBackends, NanAndInfSpreadAsDocumented) {
  const Tensor with_nan = tensor_of({1, std::nan("")});
  EXPECT_TRUE(std::isnan(clip_gradient_norm(with_nan, 1).item()));
  for (const float g : with_nan.to_vector<float>()) EXPECT_TRUE(std::isnan(g));
  const Tensor with_inf = tensor_of({1, -kInf});
  EXPECT_EQ(clip_gradient_norm(with_inf, 1).item(), kInf);
  EXPECT_EQ(with_inf.to_vector<float>()[0], 0);
  EXPECT_TRUE(std::isnan(with_inf.to_vector<float>()[1]));
}

TEST_P(GradNormBackends, ClipsValues) {
  const Tensor gradients = tensor_of({-3, -0.5, 0, 0.25, 0.5, kInf, std::nan("")});
  clip_gradient_value(gradients, 0.5);
  const std::vector<float> g = gradients.to_vector<float>();
  EXPECT_EQ(std::vector<float>(g.begin(), g.begin() + 6),
            (std::vector<float>{-0.5f, -0.5f, 0, 0.25f, 0.5f, 0.5f}));
  EXPECT_TRUE(std::isnan(g[6]));
}

TEST_P(GradNormBackends, NoGradientsHaveNormZero) {
  EXPECT_EQ(gradient_norm(tensor_of({})).item(), 0);
  EXPECT_EQ(clip_gradient_norm(tensor_of({}), 1).item(), 0);
  clip_gradient_value(tensor_of({}), 1);
}

// Which elements a thread adds must not depend on whether it may load them 16 bytes at a time.
TEST(GradNorm, TheBitsDoNotDependOnTheAddress) {
  const ScopedBackend hand(Backend::hand);
  const std::int64_t n = 20'011;
  const Tensor values = tensor_of(noise(n), DType::f64), room = Tensor::zeros({n + 1}, DType::f64);
  const Tensor unaligned = room.rows(1, n + 1);
  unaligned.copy_from(values);
  EXPECT_EQ(gradient_norm(unaligned).item(), gradient_norm(values).item());
}

TEST(GradNorm, Bf16GradientsHaveANormInF32) {
  const Tensor gradients = tensor_of(noise(10'007), DType::bf16);
  const double before = norm_of(gradients.to_vector<double>());
  const Tensor norm = clip_gradient_norm(gradients, 1);
  EXPECT_EQ(norm.dtype(), DType::f32);
  EXPECT_NEAR(norm.item() / before, 1, 0x1p-24);
  // Each element is rounded by 2^-9 at most.
  EXPECT_NEAR(norm_of(gradients.to_vector<double>()), 1, 0x1p-9);
}

TEST(GradNorm, RefusesBadArgumentsInASentence) {
  const Tensor x = Tensor::zeros({3});
  EXPECT_EQ(error_of([&] { clip_gradient_norm(x, 0); }),
            "grad_norm: max_norm is 0 but must be above 0");
  EXPECT_EQ(error_of([&] { clip_gradient_value(x, -1); }),
            "grad_norm: limit is -1 but must be above 0");
}

}  // namespace
}  // namespace cucina
