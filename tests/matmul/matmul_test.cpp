// matmul's and linear's promises: values small enough to check by hand, gradients nobody wants,
// NaN, and the sentences of their errors.
#include "kernels/matmul/matmul.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "core/autograd.h"
#include "tests/error_of.h"

namespace cucina {
namespace {

using testing::error_of;

class MatmulBackends : public ::testing::TestWithParam<Backend> {
 protected:
  const ScopedBackend backend_{GetParam()};
};
INSTANTIATE_TEST_SUITE_P(, MatmulBackends,
                         ::testing::Values(Backend::reference, Backend::hand, Backend::vendor),
                         [](const auto& info) { return std::string(name(info.param)); });

TEST_P(MatmulBackends, MultipliesRowsByColumns) {
  const Tensor a = Tensor::from<float>({1, 2, 3, 4, 5, 6}, {2, 3});
  const Tensor b = Tensor::from<float>({1, 0, 0, 1, 1, 1}, {3, 2});
  EXPECT_EQ(matmul(a, b).to_vector<float>(), (std::vector<float>{4, 5, 10, 11}));
}

TEST_P(MatmulBackends, TransposesWhatItIsToldTo) {
  const Tensor a = Tensor::from<float>({1, 4, 2, 5, 3, 6}, {3, 2});
  const Tensor b = Tensor::from<float>({1, 0, 1, 0, 1, 1}, {2, 3});
  EXPECT_EQ(matmul(a, b, {.transpose_a = true, .transpose_b = true}).to_vector<float>(),
            (std::vector<float>{4, 5, 10, 11}));
}

TEST_P(MatmulBackends, AProductOverNothingIsZero) {
  EXPECT_EQ(matmul(Tensor::zeros({2, 0}), Tensor::zeros({0, 3})).to_vector<float>(),
            std::vector<float>(6, 0.f));
  EXPECT_EQ(
      linear(Tensor::zeros({2, 0}), Tensor::zeros({3, 0}), Tensor::from<float>({1, 2, 3}, {3}))
          .to_vector<float>(),
      (std::vector<float>{1, 2, 3, 1, 2, 3}));
}

TEST_P(MatmulBackends, LinearTakesWeightsAsRowsAndAddsTheBias) {
  const Tensor x = Tensor::from<float>({1, 2}, {1, 2});
  const Tensor w = Tensor::from<float>({1, 1, 0, 10, 2, 0}, {3, 2});
  EXPECT_EQ(linear(x, w, Tensor::from<float>({100, 200, 300}, {3})).to_vector<float>(),
            (std::vector<float>{103, 220, 302}));
  EXPECT_EQ(linear(x, w, {}).to_vector<float>(), (std::vector<float>{3, 20, 2}));
}

TEST_P(MatmulBackends, LinearGradientsByHand) {
  Tensor x = Tensor::from<float>({1, 2, 3, 4}, {2, 2}), w = Tensor::from<float>({5, 6}, {1, 2});
  Tensor b = Tensor::zeros({1});
  for (Tensor* leaf : {&x, &w, &b}) leaf->set_requires_grad(true);
  backward(linear(x, w, b), {}, Tensor::from<float>({1, 10}, {2, 1}));
  EXPECT_EQ(x.grad().to_vector<float>(), (std::vector<float>{5, 6, 50, 60}));
  EXPECT_EQ(w.grad().to_vector<float>(), (std::vector<float>{31, 42}));
  EXPECT_EQ(b.grad().to_vector<float>(), (std::vector<float>{11}));
}

TEST_P(MatmulBackends, EmptyBatchGivesZeroGradients) {
  Tensor w = Tensor::full({3, 2}, 1), b = Tensor::zeros({3});
  w.set_requires_grad(true);
  b.set_requires_grad(true);
  const Tensor y = linear(Tensor::zeros({0, 2}), w, b);
  EXPECT_EQ(y.shape(), (Shape{0, 3}));
  backward(y, {}, Tensor::zeros(y.shape()));
  EXPECT_EQ(w.grad().to_vector<float>(), std::vector<float>(6, 0.f));
  EXPECT_EQ(b.grad().to_vector<float>(), std::vector<float>(3, 0.f));
}

TEST_P(MatmulBackends, NanReachesExactlyItsRow) {
  std::vector<float> a(3 * 5, 1.f);
  a[1 * 5 + 4] = std::numeric_limits<float>::quiet_NaN();
  const std::vector<float> c =
      matmul(Tensor::from(a, {3, 5}), Tensor::zeros({5, 2})).to_vector<float>();
  for (std::size_t i = 0; i < c.size(); ++i) EXPECT_EQ(std::isnan(c[i]), i / 2 == 1) << i;
}

TEST_P(MatmulBackends, MultipliesEachMatrixOfABatch) {
  const Tensor a = Tensor::from<float>({1, 2, 3, 4, 5, 6, 7, 8}, {2, 2, 2});
  const Tensor b = Tensor::from<float>({1, 0, 0, 1, 2, 0, 0, 3}, {2, 2, 2});
  const Tensor c = matmul(a, b);
  EXPECT_EQ(c.shape(), (Shape{2, 2, 2}));
  EXPECT_EQ(c.to_vector<float>(), (std::vector<float>{1, 2, 3, 4, 10, 18, 14, 24}));
  EXPECT_EQ(matmul(a.reshape({1, 2, 2, 2}), b.reshape({1, 2, 2, 2})).shape(), (Shape{1, 2, 2, 2}));
}

TEST_P(MatmulBackends, OneMatrixServesAWholeBatchAndSumsItsGradients) {
  Tensor a = Tensor::from<float>({1, 2, 3, 4}, {2, 1, 2}), b = Tensor::from<float>({5, 6}, {2, 1});
  a.set_requires_grad(true);
  b.set_requires_grad(true);
  const Tensor c = matmul(a, b);
  EXPECT_EQ(c.shape(), (Shape{2, 1, 1}));
  EXPECT_EQ(c.to_vector<float>(), (std::vector<float>{17, 39}));
  backward(c, {}, Tensor::from<float>({1, 10}, {2, 1, 1}));
  EXPECT_EQ(a.grad().to_vector<float>(), (std::vector<float>{5, 6, 50, 60}));
  EXPECT_EQ(b.grad().to_vector<float>(), (std::vector<float>{31, 42}));
}

TEST_P(MatmulBackends, ReluLetsThroughWhatIsPositiveAfterTheBias) {
  Tensor x = Tensor::from<float>({1, -1}, {2, 1}), w = Tensor::from<float>({2, -2}, {2, 1});
  Tensor b = Tensor::from<float>({1, 3}, {2});
  for (Tensor* leaf : {&x, &w, &b}) leaf->set_requires_grad(true);
  const Tensor y = linear(x, w, b, Activation::relu);
  EXPECT_EQ(y.to_vector<float>(), (std::vector<float>{3, 1, 0, 5}));
  backward(y, {}, Tensor::from<float>({1, 10, 100, 1000}, {2, 2}));
  EXPECT_EQ(x.grad().to_vector<float>(), (std::vector<float>{-18, -2000}));
  EXPECT_EQ(w.grad().to_vector<float>(), (std::vector<float>{1, -990}));
  EXPECT_EQ(b.grad().to_vector<float>(), (std::vector<float>{1, 1010}));
}

TEST_P(MatmulBackends, GeluIsTheOneWithTheErrorFunction) {
  Tensor x = Tensor::from<float>({-1, 0, 1}, {3, 1});
  x.set_requires_grad(true);
  const Tensor y = matmul(x, Tensor::full({1, 1}, 1), {.activation = Activation::gelu});
  const std::vector<float> values = y.to_vector<float>();
  EXPECT_NEAR(values[0], -0.15865525, 1e-6);
  EXPECT_EQ(values[1], 0.f);
  EXPECT_NEAR(values[2], 0.84134475, 1e-6);
  backward(y, {}, Tensor::full({3, 1}, 1));
  const std::vector<float> slopes = x.grad().to_vector<float>();
  EXPECT_NEAR(slopes[0], -0.08331547, 1e-6);
  EXPECT_EQ(slopes[1], 0.5f);
  EXPECT_NEAR(slopes[2], 1.08331547, 1e-6);
}

TEST_P(MatmulBackends, ActivatesABiasAlone) {
  EXPECT_EQ(matmul(Tensor::zeros({2, 0}), Tensor::zeros({0, 2}), {.activation = Activation::relu},
                   Tensor::from<float>({-1, 2}, {2}))
                .to_vector<float>(),
            (std::vector<float>{0, 2, 0, 2}));
}

TEST(Matmul, ComputesNoGradientThatNobodyWants) {
  const Tensor a = Tensor::full({2, 3}, 1);
  Tensor b = Tensor::full({3, 4}, 1);
  b.set_requires_grad(true);
  const Tensor c = matmul(a, b);
  backward(c, {}, Tensor::full(c.shape(), 1));
  EXPECT_FALSE(a.grad().defined());
  EXPECT_EQ(b.grad().to_vector<float>(), std::vector<float>(12, 2.f));
}

TEST(Matmul, SaysWhatIsWrongWithItsArguments) {
  const Tensor a = Tensor::zeros({2, 3}), b = Tensor::zeros({4, 5});
  EXPECT_EQ(error_of([&] { matmul(a, Tensor::zeros({4})); }),
            "matmul: b has rank 1, shape (4), but must have rank 2 or more");
  const Tensor batch = Tensor::zeros({7, 2, 3});
  EXPECT_EQ(error_of([&] {
              matmul(batch, Tensor::zeros({6, 3, 4}));
            }),
            "matmul: a (7, 2, 3) and b (6, 3, 4) have different batches");
  EXPECT_EQ(error_of([&] {
              matmul(a, Tensor::zeros({6, 3, 4}));
            }),
            "matmul: a (2, 3) and b (6, 3, 4) have different batches");
  EXPECT_EQ(error_of([&] {
              matmul(batch, Tensor::zeros({2, 4}), {.transpose_a = true});
            }),
            "matmul: a (7, 2, 3) is a batch of transposed matrices and b (2, 4) is one matrix; "
            "give a batch");
  EXPECT_EQ(error_of([&] {
              matmul(a, Tensor::zeros({3, 5}), {}, Tensor::zeros({4}));
            }),
            "matmul: bias has shape (4) but c has 5 columns");
  EXPECT_EQ(error_of([&] { matmul(a, b); }), "matmul: a has inner size 3 but b has 4");
  EXPECT_EQ(error_of([&] { matmul(a, b, {.transpose_a = true, .transpose_b = true}); }),
            "matmul: a transposed has inner size 2 but b transposed has 5");
  EXPECT_EQ(
      error_of([&] {
        matmul(a, Tensor::zeros({3, 5}, DType::f64));
      }),
      "matmul: a is f32 (2, 3) on cpu but b is f64 (3, 5) on cpu; dtype and device must agree");
}

TEST(Linear, SaysWhatIsWrongWithItsArguments) {
  const Tensor x = Tensor::zeros({2, 3}), w = Tensor::zeros({4, 3});
  EXPECT_EQ(error_of([&] {
              linear(Tensor::zeros({2, 1, 1, 3}), w, {});
            }),
            "linear: x has rank 4, shape (2, 1, 1, 3), but must have rank 2");
  EXPECT_EQ(error_of([&] { linear(x, Tensor::zeros({4}), {}); }),
            "linear: w has rank 1, shape (4), but must have rank 2");
  EXPECT_EQ(error_of([&] {
              linear(x, Tensor::zeros({4, 5}), {});
            }),
            "linear: x has 3 features but w takes 5");
  EXPECT_EQ(
      error_of([&] {
        linear(x, Tensor::zeros({4, 3}, DType::f64), {});
      }),
      "linear: x is f32 (2, 3) on cpu but w is f64 (4, 3) on cpu; dtype and device must agree");
  EXPECT_EQ(error_of([&] { linear(x, w, Tensor::zeros({4}, DType::f64)); }),
            "linear: x is f32 (2, 3) on cpu but b is f64 (4) on cpu; dtype and device must agree");
  EXPECT_EQ(error_of([&] { linear(x, w, Tensor::zeros({3})); }),
            "linear: b has shape (3) but w has 4 outputs");
}

}  // namespace
}  // namespace cucina
