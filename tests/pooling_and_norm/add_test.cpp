// add's front door: known values, shared operands, errors.
#include "kernels/add/add.h"

#include <gtest/gtest.h>

#include "core/autograd.h"
#include "tests/error_of.h"

namespace cucina {
namespace {

using testing::error_of;

TEST(Add, AddsAndPassesTheGradientToBoth) {
  Tensor a = Tensor::from<float>({1, 2, 3}, {3}).set_requires_grad(true);
  Tensor b = Tensor::from<float>({10, 20, 30}, {3}).set_requires_grad(true);
  const Tensor y = add(a, b);
  EXPECT_EQ(y.to_vector<float>(), (std::vector<float>{11, 22, 33}));
  backward(y, {}, Tensor::from<float>({1, -2, 4}, {3}));
  EXPECT_EQ(a.grad().to_vector<float>(), (std::vector<float>{1, -2, 4}));
  EXPECT_EQ(b.grad().to_vector<float>(), (std::vector<float>{1, -2, 4}));
}

TEST(Add, ATensorAddedToItselfGetsTheGradientTwice) {
  Tensor a = Tensor::from<float>({1, 2}, {2}).set_requires_grad(true);
  backward(add(a, a), {}, Tensor::from<float>({3, 5}, {2}));
  EXPECT_EQ(a.grad().to_vector<float>(), (std::vector<float>{6, 10}));
}

TEST(Add, RefusesOperandsThatDiffer) {
  const Tensor a = Tensor::zeros({2, 3});
  EXPECT_EQ(error_of([&] {
              add(a, Tensor::zeros({3, 2}));
            }),
            "add: a is (2, 3) but b is (3, 2); shapes must be equal, nothing is broadcast");
  EXPECT_EQ(error_of([&] {
              add(a, Tensor::zeros({2, 3}, DType::f64));
            }),
            "add: a is f32 (2, 3) on cpu but b is f64 (2, 3) on cpu; dtype and device must agree");
}

}  // namespace
}  // namespace cucina
