// reduce's front doors: axes, shapes, ties, what there is of nothing, errors.
#include "kernels/reduce/reduce.h"

#include <gtest/gtest.h>
#include <omp.h>

#include <cmath>
#include <limits>

#include "core/autograd.h"
#include "core/random.h"
#include "tests/error_of.h"

namespace cucina {
namespace {

using testing::error_of;

// 0, 1, 2, ...
Tensor counted(const Shape& shape) {
  std::vector<float> values(static_cast<std::size_t>(shape.elements()));
  for (std::size_t i = 0; i < values.size(); ++i) values[i] = static_cast<float>(i);
  return Tensor::from(values, shape);
}

class ReduceBackends : public ::testing::TestWithParam<Backend> {
 protected:
  const ScopedBackend backend_{GetParam()};
};
INSTANTIATE_TEST_SUITE_P(, ReduceBackends,
                         ::testing::Values(Backend::reference, Backend::hand, Backend::vendor),
                         [](const auto& info) { return std::string(name(info.param)); });

TEST_P(ReduceBackends, AxesAndShapes) {
  const Tensor x = counted({2, 3, 4});
  EXPECT_EQ(sum(x).shape(), Shape{});
  EXPECT_EQ(sum(x).item(), 276);
  EXPECT_EQ(sum(x, {}, true).shape(), (Shape{1, 1, 1}));
  EXPECT_EQ(sum(x, {0, 1}).to_vector<float>(), (std::vector<float>{60, 66, 72, 78}));
  EXPECT_EQ(sum(x, {-1}).to_vector<float>(), (std::vector<float>{6, 22, 38, 54, 70, 86}));
  EXPECT_EQ(sum(x, {1}).to_vector<float>(), (std::vector<float>{12, 15, 18, 21, 48, 51, 54, 57}));
  EXPECT_EQ(sum(x, {1}, true).shape(), (Shape{2, 1, 4}));
  EXPECT_EQ(sum(x, {2, 0}).to_vector<float>(), (std::vector<float>{60, 92, 124}));
  EXPECT_EQ(mean(x, {0, 2}).to_vector<float>(), (std::vector<float>{7.5f, 11.5f, 15.5f}));
  EXPECT_EQ(max(x, {0}).to_vector<float>(),
            (std::vector<float>{12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23}));
  EXPECT_EQ(max(x, {1, 2}).to_vector<float>(), (std::vector<float>{11, 23}));
}

TEST_P(ReduceBackends, GradientsGoToWhatWasReduced) {
  Tensor x = counted({2, 3}).set_requires_grad(true);
  backward(sum(x, {0}), {}, Tensor::from<float>({1, 10, 100}, {3}));
  EXPECT_EQ(x.grad().to_vector<float>(), (std::vector<float>{1, 10, 100, 1, 10, 100}));
  x.clear_grad();
  backward(mean(x, {1}, true), {}, Tensor::from<float>({3, 6}, {2, 1}));
  EXPECT_EQ(x.grad().to_vector<float>(), (std::vector<float>{1, 1, 1, 2, 2, 2}));
  x.clear_grad();
  backward(max(x), {}, Tensor::full({}, 7));
  EXPECT_EQ(x.grad().to_vector<float>(), (std::vector<float>{0, 0, 0, 0, 0, 7}));
}

TEST_P(ReduceBackends, OfEqualElementsTheFirstGetsTheGradientOfTheMaximum) {
  Tensor x = Tensor::full({2, 700, 3}, 4.0);
  for (const std::int64_t i : {0, 1, 2}) x.data<float>()[i] = 3;  // of the first row
  x.set_requires_grad(true);
  backward(max(x, {0, 1}), {}, Tensor::from<float>({1, 2, 3}, {3}));
  const std::vector<float> dx = x.grad().to_vector<float>();
  for (std::size_t i = 0; i < dx.size(); ++i) {
    EXPECT_EQ(dx[i], i >= 3 && i < 6 ? static_cast<float>(i - 2) : 0) << i;
  }
}

TEST_P(ReduceBackends, NanIsTheMaximumAndInfCounts) {
  constexpr float kInf = std::numeric_limits<float>::infinity();
  const Tensor x = Tensor::from<float>({1, kInf, std::nanf(""), -kInf, -kInf, -kInf}, {2, 3});
  const std::vector<float> y = max(x, {1}).to_vector<float>();
  EXPECT_TRUE(std::isnan(y[0]));
  EXPECT_EQ(y[1], -kInf);
  EXPECT_EQ(sum(x, {1}).to_vector<float>()[1], -kInf);
}

TEST_P(ReduceBackends, OfNothing) {
  const Tensor x = Tensor::zeros({0, 2});
  EXPECT_EQ(sum(x, {0}).to_vector<float>(), (std::vector<float>{0, 0}));
  EXPECT_TRUE(std::isnan(mean(x, {0}).to_vector<float>()[0]));
  EXPECT_EQ(sum(x, {1}).shape(), Shape{0});
  EXPECT_EQ(max(x, {1}).shape(), Shape{0});
}

TEST_P(ReduceBackends, OfMinusInfOnlyTheFirstIsTheMaximum) {
  constexpr float kInf = std::numeric_limits<float>::infinity();
  for (const Shape& shape : {Shape{5, 1, 3}, Shape{5, 50'000, 3}}) {
    Tensor x = Tensor::full(shape, -kInf).set_requires_grad(true);
    backward(max(x, {0, 1}), {}, Tensor::full({3}, 1));
    const std::vector<float> dx = x.grad().to_vector<float>();
    for (std::size_t i = 0; i < dx.size(); ++i) ASSERT_EQ(dx[i], i < 3 ? 1 : 0) << i;
  }
}

// A million numbers of 1 +- 0.5 in f32: adding them one after the other would be off by 1e-4.
TEST(Reduce, LongSumsAreAccurateAndTheSameOnAnyNumberOfThreads) {
  const ScopedBackend hand(Backend::hand);
  const RandomStream random(3, "sum");
  const Tensor x = Tensor::empty({1 << 20});
  double right = 0;
  for (std::int64_t i = 0; i < x.elements(); ++i) {
    x.data<float>()[i] = 0.5f + random.uniform(0, static_cast<std::uint64_t>(i));
    right += x.data<float>()[i];
  }
  const int before = omp_get_max_threads();
  omp_set_num_threads(1);
  const double alone = sum(x).item();
  omp_set_num_threads(3);
  EXPECT_EQ(sum(x).item(), alone);
  omp_set_num_threads(before);
  EXPECT_NEAR(alone / right, 1, 1e-6);
}

TEST(Reduce, RefusesBadArgumentsInASentence) {
  const Tensor x = Tensor::zeros({2, 3});
  EXPECT_EQ(error_of([&] { sum(x, {2}); }), "sum: axis 2 of x (2, 3), which has 2");
  EXPECT_EQ(error_of([&] { mean(x, {-3}); }), "mean: axis -3 of x (2, 3), which has 2");
  EXPECT_EQ(error_of([&] { sum(x, {1, -1}); }), "sum: axis -1 of x (2, 3) is named twice");
  EXPECT_EQ(error_of([] {
              max(Tensor::zeros({0, 2}), {0});
            }),
            "max: x is (0, 2), so there is no element to choose from");
}

}  // namespace
}  // namespace cucina
