// conv2d's promises: values small enough to check by hand, gradients nobody wants, NaN, and the
// sentences of its errors.
#include "kernels/conv2d/conv2d.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <numeric>

#include "core/autograd.h"
#include "tests/error_of.h"

namespace cucina {
namespace {

using testing::error_of;

// 1, 2, 3, ...
Tensor counting(const Shape& shape) {
  std::vector<float> values(static_cast<std::size_t>(shape.elements()));
  std::iota(values.begin(), values.end(), 1.f);
  return Tensor::from(values, shape);
}

class Conv2dBackends : public ::testing::TestWithParam<Backend> {
 protected:
  const ScopedBackend backend_{GetParam()};
};
INSTANTIATE_TEST_SUITE_P(, Conv2dBackends,
                         ::testing::Values(Backend::reference, Backend::hand, Backend::vendor),
                         [](const auto& info) { return std::string(name(info.param)); });

TEST_P(Conv2dBackends, CorrelatesWithoutTurningTheWindow) {
  const Tensor x = counting({1, 3, 3, 1});
  const Tensor w = Tensor::from<float>({1, 2, 0, 0}, {1, 2, 2, 1});
  EXPECT_EQ(conv2d(x, w, Tensor::from<float>({100}, {1})).to_vector<float>(),
            (std::vector<float>{105, 108, 114, 117}));
}

TEST_P(Conv2dBackends, SumsOverInputChannelsForEachOutputChannel) {
  const Tensor x = Tensor::from<float>({1, 2, 3}, {1, 1, 1, 3});
  const Tensor w = Tensor::from<float>({1, 1, 1, 1, 0, -1}, {2, 1, 1, 3});
  EXPECT_EQ(conv2d(x, w, {}).to_vector<float>(), (std::vector<float>{6, -2}));
}

TEST_P(Conv2dBackends, StridesAndPadsWithZeros) {
  const Tensor x = counting({1, 3, 3, 1});
  const Tensor w = Tensor::full({1, 2, 2, 1}, 1);
  const Tensor y = conv2d(x, w, {}, {.stride = 2, .pad = 1});
  EXPECT_EQ(y.shape(), (Shape{1, 2, 2, 1}));
  EXPECT_EQ(y.to_vector<float>(), (std::vector<float>{1, 2 + 3, 4 + 7, 5 + 6 + 8 + 9}));
}

TEST_P(Conv2dBackends, GradientsOfOnesCountUses) {
  Tensor x = Tensor::full({1, 3, 3, 1}, 1), w = Tensor::full({1, 2, 2, 1}, 1);
  Tensor b = Tensor::zeros({1});
  for (Tensor* leaf : {&x, &w, &b}) leaf->set_requires_grad(true);
  const Tensor y = conv2d(x, w, b);
  backward(y, {}, Tensor::full(y.shape(), 1));
  EXPECT_EQ(x.grad().to_vector<float>(), (std::vector<float>{1, 2, 1, 2, 4, 2, 1, 2, 1}));
  EXPECT_EQ(w.grad().to_vector<float>(), (std::vector<float>{4, 4, 4, 4}));
  EXPECT_EQ(b.grad().to_vector<float>(), (std::vector<float>{4}));
}

TEST_P(Conv2dBackends, EmptyBatchGivesZeroGradients) {
  const Tensor x = Tensor::zeros({0, 3, 3, 2});
  Tensor w = Tensor::full({4, 2, 2, 2}, 1), b = Tensor::zeros({4});
  w.set_requires_grad(true);
  b.set_requires_grad(true);
  const Tensor y = conv2d(x, w, b);
  EXPECT_EQ(y.shape(), (Shape{0, 2, 2, 4}));
  backward(y, {}, Tensor::zeros(y.shape()));
  EXPECT_EQ(w.grad().to_vector<float>(), std::vector<float>(32, 0.f));
  EXPECT_EQ(b.grad().to_vector<float>(), std::vector<float>(4, 0.f));
}

TEST_P(Conv2dBackends, NanReachesExactlyTheOutputsThatUseIt) {
  for (const int channels : {4, 40}) {  // a patch in shared memory, an implicit matrix product
    std::vector<float> image(1 * 5 * 5 * 3, 1.f);
    image[3 * (2 * 5 + 2)] = std::numeric_limits<float>::quiet_NaN();
    const Tensor y = conv2d(Tensor::from(image, {1, 5, 5, 3}), Tensor::full({channels, 2, 2, 3}, 1),
                            {}, {.pad = 1});
    const std::vector<float> values = y.to_vector<float>();
    for (int p = 0; p < 6; ++p) {
      for (int q = 0; q < 6; ++q) {
        const bool uses = (p == 2 || p == 3) && (q == 2 || q == 3);
        EXPECT_EQ(std::isnan(values[static_cast<std::size_t>((p * 6 + q) * channels)]), uses)
            << "row " << p << ", column " << q << ", " << channels << " channels";
      }
    }
  }
}

TEST_P(Conv2dBackends, DilationSpreadsTheTaps) {
  const Tensor x = counting({1, 5, 5, 1});
  const Tensor w = Tensor::from<float>({1, 10, 100, 1000}, {1, 2, 2, 1});
  EXPECT_EQ(conv2d(x, w, {}, {.dilation = 3}).to_vector<float>(),
            (std::vector<float>{1 + 40 + 1600 + 19000, 2 + 50 + 1700 + 20000, 6 + 90 + 2100 + 24000,
                                7 + 100 + 2200 + 25000}));
}

TEST_P(Conv2dBackends, GroupsSeeTheirOwnChannelsAlone) {
  const Tensor x = Tensor::from<float>({1, 2, 3, 4}, {1, 1, 1, 4});
  const Tensor w = Tensor::from<float>({1, 10, 2, 20, 1, 1, 0, 5}, {4, 1, 1, 2});
  EXPECT_EQ(conv2d(x, w, {}, {.groups = 2}).to_vector<float>(),
            (std::vector<float>{21, 42, 7, 20}));
}

TEST_P(Conv2dBackends, DepthwiseWithAMultiplierKeepsChannelsTogether) {
  const Tensor x = Tensor::from<float>({1, 2, 3}, {1, 1, 1, 3});
  const Tensor w = Tensor::from<float>({1, 10, 1, 10, 1, 10}, {6, 1, 1, 1});
  EXPECT_EQ(conv2d(x, w, {}, {.groups = 3}).to_vector<float>(),
            (std::vector<float>{1, 10, 2, 20, 3, 30}));
}

TEST_P(Conv2dBackends, ReluFollowsTheBiasAndStopsGradients) {
  Tensor x = Tensor::from<float>({1, 2, 3, 4}, {1, 2, 2, 1}), w = Tensor::full({1, 1, 1, 1}, 2);
  Tensor b = Tensor::full({1}, -5);
  for (Tensor* leaf : {&x, &w, &b}) leaf->set_requires_grad(true);
  const Tensor y = conv2d(x, w, b, {.relu = true});
  EXPECT_EQ(y.to_vector<float>(), (std::vector<float>{0, 0, 1, 3}));
  backward(y, {}, Tensor::from<float>({1, 10, 100, 1000}, y.shape()));
  EXPECT_EQ(x.grad().to_vector<float>(), (std::vector<float>{0, 0, 200, 2000}));
  EXPECT_EQ(w.grad().to_vector<float>(), (std::vector<float>{4300}));
  EXPECT_EQ(b.grad().to_vector<float>(), (std::vector<float>{1100}));
}

TEST_P(Conv2dBackends, APrologueComesBeforeThePadding) {
  const Tensor x = Tensor::from<float>({1, 2, 3, 4}, {1, 2, 2, 1});
  const Tensor w = Tensor::full({1, 3, 3, 1}, 1);
  const Conv2dPrologue prologue{
      .scale = Tensor::full({1}, 2), .shift = Tensor::full({1}, -5), .relu = true};
  // 2 x - 5 is -3, -1, 1, 3; were the padding shifted, too, every sum would be lower.
  EXPECT_EQ(conv2d(x, w, {}, {.pad = 1}, prologue).to_vector<float>(),
            (std::vector<float>{4, 4, 4, 4}));
}

TEST_P(Conv2dBackends, APrologueIsDifferentiable) {
  Tensor x = Tensor::from<float>({1, 2, 3, 4}, {1, 2, 2, 1}), w = Tensor::full({1, 1, 1, 1}, 10);
  Conv2dPrologue prologue{
      .scale = Tensor::full({1}, 2), .shift = Tensor::full({1}, -5), .relu = true};
  for (Tensor* leaf : {&x, &w, &prologue.scale, &prologue.shift}) leaf->set_requires_grad(true);
  const Tensor y = conv2d(x, w, {}, {}, prologue);
  backward(y, {}, Tensor::from<float>({1, 10, 100, 1000}, y.shape()));
  EXPECT_EQ(x.grad().to_vector<float>(), (std::vector<float>{0, 0, 2000, 20000}));
  EXPECT_EQ(w.grad().to_vector<float>(), (std::vector<float>{3100}));
  EXPECT_EQ(prologue.scale.grad().to_vector<float>(), (std::vector<float>{43000}));
  EXPECT_EQ(prologue.shift.grad().to_vector<float>(), (std::vector<float>{11000}));
}

TEST(Conv2d, ComputesNoGradientThatNobodyWants) {
  const Tensor x = counting({1, 3, 3, 1});
  Tensor w = Tensor::full({1, 2, 2, 1}, 1);
  w.set_requires_grad(true);
  const Tensor y = conv2d(x, w, {});
  backward(y, {}, Tensor::full(y.shape(), 1));
  EXPECT_FALSE(x.grad().defined());
  EXPECT_TRUE(w.grad().defined());
}

TEST(Conv2d, SaysWhatIsWrongWithItsArguments) {
  const Tensor x = Tensor::zeros({2, 5, 6, 4}), w = Tensor::zeros({7, 3, 3, 4});
  EXPECT_EQ(error_of([&] {
              conv2d(Tensor::zeros({5, 6, 4}), w, {});
            }),
            "conv2d: x has rank 3, shape (5, 6, 4), but must be (n, h, w, c)");
  EXPECT_EQ(error_of([&] {
              conv2d(x, Tensor::zeros({7, 36}), {});
            }),
            "conv2d: w has rank 2, shape (7, 36), but must be (k, r, s, c)");
  EXPECT_EQ(error_of([&] {
              conv2d(x, Tensor::zeros({7, 3, 3, 3}), {});
            }),
            "conv2d: w has 3 input channels but x has 4");
  EXPECT_EQ(error_of([&] {
              conv2d(x, Tensor::zeros({7, 3, 3, 4}, DType::f64), {});
            }),
            "conv2d: x is f32 (2, 5, 6, 4) on cpu but w is f64 (7, 3, 3, 4) on cpu; dtype and "
            "device must agree");
  EXPECT_EQ(error_of([&] { conv2d(x, w, Tensor::zeros({7}, DType::f64)); }),
            "conv2d: x is f32 (2, 5, 6, 4) on cpu but b is f64 (7) on cpu; dtype and device must "
            "agree");
  EXPECT_EQ(error_of([&] { conv2d(x, w, Tensor::zeros({6})); }),
            "conv2d: b has shape (6) but w has 7 output channels");
  EXPECT_EQ(error_of([&] { conv2d(x, w, {}, {.stride = 0}); }),
            "conv2d: stride is 0 but must be at least 1");
  EXPECT_EQ(error_of([&] { conv2d(x, w, {}, {.stride = 65536}); }),
            "conv2d: stride is 65536 but at most 65535 is possible");
  EXPECT_EQ(error_of([&] { conv2d(x, w, {}, {.pad = -1}); }),
            "conv2d: pad is -1 but must be at least 0");
  EXPECT_EQ(error_of([&] {
              conv2d(x, Tensor::zeros({7, 0, 3, 4}), {});
            }),
            "conv2d: the window is 0 x 3 but must be at least 1 x 1");
  EXPECT_EQ(error_of([&] {
              conv2d(x, Tensor::zeros({7, 8, 3, 4}), {}, {.pad = 1});
            }),
            "conv2d: the window is 8 x 3 but the padded image only 7 x 8");
  EXPECT_EQ(error_of([&] { conv2d(x, w, {}, {.dilation = 0}); }),
            "conv2d: dilation is 0 but must be at least 1");
  EXPECT_EQ(error_of([&] { conv2d(x, w, {}, {.dilation = 3}); }),
            "conv2d: the window spans 7 x 7 but the padded image only 5 x 6");
  EXPECT_EQ(error_of([&] { conv2d(x, w, {}, {.groups = 0}); }),
            "conv2d: groups is 0 but must be at least 1");
  EXPECT_EQ(error_of([&] { conv2d(x, w, {}, {.groups = 3}); }),
            "conv2d: x has 4 channels, which 3 groups do not divide");
  EXPECT_EQ(error_of([&] { conv2d(x, w, {}, {.groups = 2}); }),
            "conv2d: w has 7 output channels, which 2 groups do not divide");
  EXPECT_EQ(error_of([&] {
              conv2d(x, Tensor::zeros({6, 3, 3, 4}), {}, {.groups = 2});
            }),
            "conv2d: w has 4 input channels per group but x has 4 in 2 groups");
  EXPECT_EQ(error_of([&] { conv2d(x, w, {}, {}, {.scale = Tensor::zeros({4})}); }),
            "conv2d: the prologue has a scale but no shift; give both or neither");
  EXPECT_EQ(error_of([&] { conv2d(x, w, {}, {}, {.relu = true}); }),
            "conv2d: the prologue has relu but no scale and shift");
  EXPECT_EQ(error_of([&] {
              conv2d(x, w, {}, {}, {.scale = Tensor::zeros({4}), .shift = Tensor::zeros({3})});
            }),
            "conv2d: shift is (3) but x (2, 5, 6, 4) has 4 channels; it must be (4)");
  EXPECT_EQ(error_of([&] { conv2d(x, w, {}, {.pad = 2000000000}); }),
            "conv2d: the padded height is 4000000005 but at most 2147483647 is possible");
}

}  // namespace
}  // namespace cucina
