// binary's front doors: known values, shared operands, vectors over channels, errors.
#include "kernels/binary/binary.h"

#include <gtest/gtest.h>

#include "core/autograd.h"
#include "tests/error_of.h"

namespace cucina {
namespace {

using testing::error_of;

class BinaryBackends : public ::testing::TestWithParam<Backend> {
 protected:
  const ScopedBackend backend_{GetParam()};
};
INSTANTIATE_TEST_SUITE_P(, BinaryBackends,
                         ::testing::Values(Backend::reference, Backend::hand, Backend::vendor),
                         [](const auto& info) { return std::string(name(info.param)); });

struct Gradients2 {
  std::vector<float> y, da, db;
};

Gradients2 results(Tensor (*op)(const Tensor&, const Tensor&), Tensor a, Tensor b,
                   const Tensor& dy) {
  a.set_requires_grad(true);
  b.set_requires_grad(true);
  const Tensor y = op(a, b);
  backward(y, {}, dy);
  return {y.to_vector<float>(), a.grad().to_vector<float>(), b.grad().to_vector<float>()};
}

TEST_P(BinaryBackends, KnownValuesAndGradients) {
  const auto a = [] { return Tensor::from<float>({1, 2, 3}, {3}); };
  const auto b = [] { return Tensor::from<float>({10, 20, 30}, {3}); };
  const Tensor dy = Tensor::from<float>({1, -2, 4}, {3});
  const Gradients2 sum = results(add, a(), b(), dy);
  EXPECT_EQ(sum.y, (std::vector<float>{11, 22, 33}));
  EXPECT_EQ(sum.da, (std::vector<float>{1, -2, 4}));
  EXPECT_EQ(sum.db, (std::vector<float>{1, -2, 4}));
  const Gradients2 difference = results(sub, a(), b(), dy);
  EXPECT_EQ(difference.y, (std::vector<float>{-9, -18, -27}));
  EXPECT_EQ(difference.da, (std::vector<float>{1, -2, 4}));
  EXPECT_EQ(difference.db, (std::vector<float>{-1, 2, -4}));
  const Gradients2 product = results(mul, a(), b(), dy);
  EXPECT_EQ(product.y, (std::vector<float>{10, 40, 90}));
  EXPECT_EQ(product.da, (std::vector<float>{10, -40, 120}));
  EXPECT_EQ(product.db, (std::vector<float>{1, -4, 12}));
}

TEST_P(BinaryBackends, AVectorGoesAlongTheLastAxisAndItsGradientIsASum) {
  const auto a = [] { return Tensor::from<float>({1, 2, 3, 4, 5, 6}, {1, 3, 1, 2}); };
  const auto b = [] { return Tensor::from<float>({10, 20}, {2}); };
  const Tensor dy = Tensor::from<float>({1, -2, 4, 8, 16, 32}, {1, 3, 1, 2});
  const Gradients2 sum = results(add, a(), b(), dy);
  EXPECT_EQ(sum.y, (std::vector<float>{11, 22, 13, 24, 15, 26}));
  EXPECT_EQ(sum.db, (std::vector<float>{21, 38}));
  const Gradients2 difference = results(sub, a(), b(), dy);
  EXPECT_EQ(difference.y, (std::vector<float>{-9, -18, -7, -16, -5, -14}));
  EXPECT_EQ(difference.db, (std::vector<float>{-21, -38}));
  const Gradients2 product = results(mul, a(), b(), dy);
  EXPECT_EQ(product.y, (std::vector<float>{10, 40, 30, 80, 50, 120}));
  EXPECT_EQ(product.da, (std::vector<float>{10, -40, 40, 160, 160, 640}));
  EXPECT_EQ(product.db, (std::vector<float>{1 + 12 + 80, -4 + 32 + 192}));
}

TEST_P(BinaryBackends, ATensorWithItselfGetsBothGradients) {
  Tensor a = Tensor::from<float>({1, 2}, {2}).set_requires_grad(true);
  backward(add(a, a), {}, Tensor::from<float>({3, 5}, {2}));
  EXPECT_EQ(a.grad().to_vector<float>(), (std::vector<float>{6, 10}));
  Tensor b = Tensor::from<float>({7, 2}, {2}).set_requires_grad(true);
  backward(mul(b, b), {}, Tensor::from<float>({1, 10}, {2}));
  EXPECT_EQ(b.grad().to_vector<float>(), (std::vector<float>{14, 40}));
  Tensor c = Tensor::from<float>({7, 2}, {2}).set_requires_grad(true);
  backward(sub(c, c), {}, Tensor::from<float>({1, 10}, {2}));
  EXPECT_EQ(c.grad().to_vector<float>(), (std::vector<float>{0, 0}));
}

TEST_P(BinaryBackends, TakesTensorsThatStartAnywhere) {
  constexpr std::int64_t kElements = 71;
  const auto storage = Storage::allocate(4 * (2 * kElements + 1), Device::cpu);
  const Tensor a = Tensor::over(storage, 4, {kElements}, DType::f32);
  const Tensor b = Tensor::over(storage, 4 * (kElements + 1), {kElements}, DType::f32);
  a.fill(3);
  b.fill(5);
  EXPECT_EQ(add(a, b).to_vector<float>(), std::vector<float>(kElements, 8));
}

TEST(Binary, RefusesOperandsThatDoNotAgree) {
  const Tensor a = Tensor::zeros({2, 3});
  EXPECT_EQ(error_of([&] {
              add(a, Tensor::zeros({3, 2}));
            }),
            "add: a is (2, 3) but b is (3, 2); b must be of the same shape, or a vector over a's "
            "last axis");
  EXPECT_EQ(error_of([&] { mul(a, Tensor::zeros({2})); }),
            "mul: a is (2, 3) but b is (2); b must be of the same shape, or a vector over a's last "
            "axis");
  EXPECT_EQ(error_of([&] {
              sub(a, Tensor::zeros({2, 3}, DType::f64));
            }),
            "sub: a is f32 (2, 3) on cpu but b is f64 (2, 3) on cpu; dtype and device must agree");
}

}  // namespace
}  // namespace cucina
