// pool2d's front doors: known values, ties, NaN and infinities, errors.
#include "kernels/pool2d/pool2d.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "core/autograd.h"
#include "tests/error_of.h"

namespace cucina {
namespace {

using testing::error_of;

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
constexpr float kInf = std::numeric_limits<float>::infinity();

// One image of one channel.
Tensor image(const std::vector<float>& pixels, std::int64_t h, std::int64_t w) {
  return Tensor::from(pixels, {1, h, w, 1});
}

using Pool = Tensor (*)(const Tensor&, const Pool2dParams&);

std::vector<float> gradient(Pool pool, Tensor x, const Pool2dParams& params) {
  x.set_requires_grad(true);
  const Tensor y = pool(x, params);
  backward(y, {}, Tensor::full(y.shape(), 1));
  return x.grad().to_vector<float>();
}

class Pool2dOnBackend : public ::testing::TestWithParam<std::optional<Backend>> {
  const ScopedBackend backend_{GetParam()};
};
INSTANTIATE_TEST_SUITE_P(, Pool2dOnBackend,
                         ::testing::Values(std::nullopt, Backend::hand, Backend::reference));

TEST_P(Pool2dOnBackend, MaxTakesTheLargestPixelAndDropsTheRest) {
  const Tensor x = image({1, 5, 2,  //
                          7, 3, 9,  //
                          8, 8, 8},
                         3, 3);
  EXPECT_EQ(max_pool2d(x).shape(), (Shape{1, 1, 1, 1}));
  EXPECT_EQ(max_pool2d(x).item(), 7);
  EXPECT_EQ(max_pool2d(x, {.window = 2, .stride = 1}).to_vector<float>(),
            (std::vector<float>{7, 9, 8, 9}));
}

TEST_P(Pool2dOnBackend, MaxLeavesThePaddingOut) {
  const Tensor x = image({-1, -2, -3, -4}, 2, 2);
  EXPECT_EQ(max_pool2d(x, {.window = 2, .stride = 2, .pad = 1}).to_vector<float>(),
            (std::vector<float>{-1, -2, -3, -4}));
}

TEST_P(Pool2dOnBackend, EqualPixelsSendTheGradientToTheFirst) {
  EXPECT_EQ(gradient(max_pool2d, image({4, 6, 6, 6}, 2, 2), {}), (std::vector<float>{0, 1, 0, 0}));
  EXPECT_EQ(gradient(max_pool2d, image({2, 2, 2, 2}, 2, 2), {}), (std::vector<float>{1, 0, 0, 0}));
}

TEST_P(Pool2dOnBackend, APixelThatWinsSeveralWindowsGetsAllTheirGradients) {
  const Tensor x = image({1, 2, 3, 4, 9, 5, 6, 7, 8}, 3, 3);
  EXPECT_EQ(gradient(max_pool2d, x, {.window = 2, .stride = 1}),
            (std::vector<float>{0, 0, 0, 0, 4, 0, 0, 0, 0}));
}

TEST_P(Pool2dOnBackend, NanWinsAndTheFirstOfThemGetsTheGradient) {
  const Tensor x = image({1, kNan, kInf, kNan}, 2, 2);
  EXPECT_TRUE(std::isnan(max_pool2d(x).item()));
  EXPECT_EQ(gradient(max_pool2d, x, {}), (std::vector<float>{0, 1, 0, 0}));
}

TEST_P(Pool2dOnBackend, AWindowOfMinusInfinityStaysOneAndHasAPixelForItsGradient) {
  const Tensor x = image({-kInf, -kInf, -kInf, -kInf}, 2, 2);
  const Pool2dParams padded{.window = 3, .stride = 3, .pad = 1};
  EXPECT_EQ(max_pool2d(x, padded).item(), -kInf);
  EXPECT_EQ(gradient(max_pool2d, x, padded), (std::vector<float>{1, 0, 0, 0}));
}

TEST_P(Pool2dOnBackend, AverageCountsThePaddingAsZeros) {
  const Tensor x = image({4, 8, 12, 16}, 2, 2);
  EXPECT_EQ(avg_pool2d(x).item(), 10);
  const Pool2dParams padded{.window = 2, .stride = 2, .pad = 1};
  EXPECT_EQ(avg_pool2d(x, padded).to_vector<float>(), (std::vector<float>{1, 2, 3, 4}));
  EXPECT_EQ(gradient(avg_pool2d, x, padded), (std::vector<float>{0.25, 0.25, 0.25, 0.25}));
}

TEST_P(Pool2dOnBackend, GlobalAverageIsTheMeanOfEveryChannel) {
  Tensor x = Tensor::from<float>({1, 10, 2, 20, 3, 30, 6, 60}, {1, 2, 2, 2});
  const Tensor y = global_avg_pool(x.set_requires_grad(true));
  EXPECT_EQ(y.shape(), (Shape{1, 2}));
  EXPECT_EQ(y.to_vector<float>(), (std::vector<float>{3, 30}));
  backward(y, {}, Tensor::from<float>({4, 8}, {1, 2}));
  EXPECT_EQ(x.grad().to_vector<float>(), (std::vector<float>{1, 2, 1, 2, 1, 2, 1, 2}));
}

TEST_P(Pool2dOnBackend, AverageOfNanIsNan) {
  EXPECT_TRUE(std::isnan(avg_pool2d(image({1, kNan, 2, 3}, 2, 2)).item()));
  EXPECT_TRUE(std::isnan(global_avg_pool(image({1, kNan, 2, 3}, 2, 2)).item()));
}

TEST(Pool2d, ImagesThatStartAnywhereInMemoryArePooled) {
  // Rows of 8 channels invite 16-byte moves; this tensor starts 4 bytes past such an address.
  const Tensor odd = Tensor::over(Storage::allocate(200, Device::cpu), 4, {1, 2, 2, 8}, DType::f32);
  odd.fill(3);
  const ScopedBackend hand(Backend::hand);
  EXPECT_EQ(max_pool2d(odd).to_vector<float>(), std::vector<float>(8, 3));
  EXPECT_EQ(avg_pool2d(odd).to_vector<float>(), std::vector<float>(8, 3));
}

TEST(Pool2d, RefusesWhatIsNotAnImage) {
  EXPECT_EQ(error_of([] {
              max_pool2d(Tensor::zeros({4, 4}));
            }),
            "max_pool2d: x is (4, 4) but must be (n, h, w, c)");
  EXPECT_EQ(error_of([] {
              avg_pool2d(Tensor::zeros({1, 0, 4, 2}));
            }),
            "avg_pool2d: x is (1, 0, 4, 2): an image of 0 x 4 pixels has none to pool");
  EXPECT_EQ(error_of([] {
              global_avg_pool(Tensor::zeros({4, 4, 4}));
            }),
            "global_avg_pool: x is (4, 4, 4) but must be (n, h, w, c)");
  EXPECT_EQ(error_of([] {
              global_avg_pool(Tensor::zeros({1, 4, 0, 2}));
            }),
            "global_avg_pool: x is (1, 4, 0, 2): an image of 4 x 0 pixels has none to pool");
}

TEST(Pool2d, RefusesWindowsThatDoNotFit) {
  const Tensor x = Tensor::zeros({1, 4, 6, 1});
  EXPECT_EQ(error_of([&] { max_pool2d(x, {.window = 0}); }),
            "max_pool2d: window is 0 but must be 1 to 15");
  EXPECT_EQ(error_of([&] { max_pool2d(x, {.window = 16}); }),
            "max_pool2d: window is 16 but must be 1 to 15");
  EXPECT_EQ(error_of([&] { avg_pool2d(x, {.stride = 0}); }),
            "avg_pool2d: stride is 0 but must be at least 1");
  EXPECT_EQ(error_of([&] { avg_pool2d(x, {.pad = -1}); }),
            "avg_pool2d: pad is -1 but must be 0 to 1, less than window, or a window would hold "
            "padding only");
  EXPECT_EQ(error_of([&] { avg_pool2d(x, {.window = 3, .pad = 3}); }),
            "avg_pool2d: pad is 3 but must be 0 to 2, less than window, or a window would hold "
            "padding only");
  EXPECT_EQ(error_of([&] { max_pool2d(x, {.window = 7, .pad = 1}); }),
            "max_pool2d: window is 7 but x, (1, 4, 6, 1) with pad 1, has 6 pixels along a side");
}

}  // namespace
}  // namespace cucina
