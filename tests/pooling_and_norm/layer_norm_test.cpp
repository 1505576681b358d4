// layer_norm's and group_norm's promises beyond the rooms' checks: known values, statistics,
// errors.
#include "kernels/layer_norm/layer_norm.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "core/autograd.h"
#include "kernels/group_norm/group_norm.h"
#include "tests/error_of.h"

namespace cucina {
namespace {

using testing::error_of;

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

class NormOnBackend : public ::testing::TestWithParam<std::optional<Backend>> {
  const ScopedBackend backend_{GetParam()};
};
INSTANTIATE_TEST_SUITE_P(, NormOnBackend,
                         ::testing::Values(std::nullopt, Backend::hand, Backend::reference));

void expect_near(const std::vector<float>& got, const std::vector<double>& wanted,
                 double tolerance = 1e-5) {
  ASSERT_EQ(got.size(), wanted.size());
  for (std::size_t i = 0; i < got.size(); ++i) EXPECT_NEAR(got[i], wanted[i], tolerance) << i;
}

TEST_P(NormOnBackend, EveryRowIsNormalisedByItsBiasedVariance) {
  // Rows of mean 5 and 1, variance (9 + 1 + 1 + 9) / 4 = 5 and 4.
  const Tensor x = Tensor::from<float>({2, 4, 6, 8, -1, 3, -1, 3}, {2, 4});
  const Tensor gamma = Tensor::from<float>({1, 2, 3, 4}, {4});
  const Tensor beta = Tensor::from<float>({0, 0, 10, 10}, {4});
  const double step = 1 / std::sqrt(5.0);
  expect_near(layer_norm(x, {4}, gamma, beta, 0).to_vector<float>(),
              {-3 * step, -2 * step, 10 + 3 * step, 10 + 12 * step, -1, 2, 7, 14});
  expect_near(layer_norm(x, {4}, {}, {}, 0).to_vector<float>(),
              {-3 * step, -step, step, 3 * step, -1, 1, -1, 1});
}

TEST_P(NormOnBackend, SeveralLastDimensionsAreNormalisedTogether) {
  const Tensor x = Tensor::from<float>({1, 5, 1, 5, 0, 0, 4, 4}, {2, 2, 2});
  const Tensor gamma = Tensor::from<float>({1, 2, 3, 4}, {2, 2});
  expect_near(layer_norm(x, {2, 2}, gamma, {}, 0).to_vector<float>(), {-1, 2, -3, 4, -1, -2, 3, 4});
}

TEST_P(NormOnBackend, LayerNormsGradientIsThatOfItsFormula) {
  // With two columns a and b the normalised row is (-1, 1) sign(b - a) whatever they are: dx is 0.
  Tensor x = Tensor::from<float>({1, 3, 9, 5}, {2, 2}).set_requires_grad(true);
  Tensor gamma = Tensor::from<float>({2, 3}, {2}).set_requires_grad(true);
  Tensor beta = Tensor::zeros({2}).set_requires_grad(true);
  backward(layer_norm(x, {2}, gamma, beta, 0), {}, Tensor::from<float>({1, 10, 100, 1000}, {2, 2}));
  expect_near(x.grad().to_vector<float>(), {0, 0, 0, 0}, 1e-3);
  expect_near(gamma.grad().to_vector<float>(), {-1 + 100, 10 - 1000}, 1e-3);
  expect_near(beta.grad().to_vector<float>(), {101, 1010}, 1e-3);
}

TEST_P(NormOnBackend, GroupsAreAdjacentChannelsOverAllPixels) {
  // Two pixels of four channels in two groups: (0, 2 / 4, 6) and (10, 10 / 10, 18).
  const Tensor x = Tensor::from<float>({0, 2, 10, 10, 4, 6, 10, 18}, {1, 1, 2, 4});
  const Tensor gamma = Tensor::from<float>({1, 2, 1, 1}, {4});
  const Tensor beta = Tensor::from<float>({0, 0, 0, 100}, {4});
  const double step = 1 / std::sqrt(5.0), third = 1 / std::sqrt(3.0);
  expect_near(
      group_norm(x, gamma, beta, {.groups = 2, .eps = 0}).to_vector<float>(),
      {-3 * step, -2 * step, -third, 100 - third, step, 6 * step, -third, 100 + std::sqrt(3.0)});
}

TEST_P(NormOnBackend, OneGroupIsLayerNormOfTheImageAndOnePerChannelSeesNoOther) {
  const Tensor x = Tensor::from<float>({0, 2, 10, 10, 4, 6, 10, 18}, {1, 2, 2, 2});
  const std::vector<float> whole = layer_norm(x, {2, 2, 2}).to_vector<float>();
  expect_near(group_norm(x, {}, {}, {.groups = 1}).to_vector<float>(),
              {whole.begin(), whole.end()});
  const Tensor other = Tensor::from<float>({0, 7, 10, 8, 4, 9, 10, 1}, {1, 2, 2, 2});
  const std::vector<float> a = group_norm(x, {}, {}, {.groups = 2}).to_vector<float>();
  const std::vector<float> b = group_norm(other, {}, {}, {.groups = 2}).to_vector<float>();
  for (std::size_t i = 0; i < a.size(); i += 2) EXPECT_EQ(a[i], b[i]) << i;
}

TEST_P(NormOnBackend, AMeanFarLargerThanTheDeviationCostsNoDigits) {
  // E[x^2] - mean^2 would be a difference of numbers near 1e8, whose f32 neighbours are 8 apart.
  // All are multiples of 2^-10, as f32 near 1e4 are, and mirrored, so that 1e4 is their mean.
  constexpr double kMean = 1e4, kStep = 1.0 / 1024;
  for (const std::int64_t n : {30, 1000, 30000}) {
    std::vector<float> values(static_cast<std::size_t>(n));
    std::uint32_t state = 1;
    double squares = 0;
    for (std::size_t i = 0; i < values.size() / 2; ++i) {
      state = state * 1664525u + 1013904223u;
      const double distance = kStep * (static_cast<double>(state >> 27) - 15.5 > 0 ? 1 : -1) *
                              static_cast<double>(state >> 22 & 15);
      values[i] = static_cast<float>(kMean + distance);
      values[values.size() - 1 - i] = static_cast<float>(kMean - distance);
      squares += 2 * distance * distance;
    }
    const double deviation = std::sqrt(squares / static_cast<double>(n));
    const auto expect_normalised = [&](const Tensor& y, double tolerance, const char* what) {
      const std::vector<float> got = y.to_vector<float>();
      for (std::size_t i = 0; i < values.size(); i += values.size() / 30) {
        EXPECT_NEAR(got[i], (values[i] - kMean) / deviation, tolerance)
            << what << ' ' << n << ", element " << i;
      }
    };
    if (GetParam().has_value()) {  // oneDNN adds up in f32 as it comes
      expect_normalised(layer_norm(Tensor::from(values, {1, n}), {n}, {}, {}, 0), 1e-3,
                        "layer_norm");
    }
    // Means of parts are f32 too, off by half of 2^-10, which is 5 % of the deviation; and one
    // rounding more may double that.
    expect_normalised(group_norm(Tensor::from(values, {1, n / 10, 1, 10}), {}, {}, {.eps = 0}),
                      0.11, "group_norm");
  }
}

TEST_P(NormOnBackend, NanStaysWithWhatIsNormalisedTogether) {
  std::vector<float> values(24);
  for (std::size_t i = 0; i < values.size(); ++i) values[i] = static_cast<float>(i * 7 % 24);
  values[7] = kNan;
  const Tensor x = Tensor::from(values, {2, 3, 1, 4});
  const std::vector<float> rows = layer_norm(x, {4}).to_vector<float>();
  const std::vector<float> groups = group_norm(x, {}, {}, {.groups = 2}).to_vector<float>();
  for (std::size_t i = 0; i < values.size(); ++i) {
    EXPECT_EQ(std::isnan(rows[i]), i / 4 == 1) << i;
    EXPECT_EQ(std::isnan(groups[i]), i < 12 && i % 4 >= 2) << i;
  }
}

TEST_P(NormOnBackend, NoExamplesGiveNoResultsAndGradientsOfZero) {
  Tensor gamma = Tensor::full({3}, 1).set_requires_grad(true);
  const Tensor beta = Tensor::zeros({3});
  for (const bool grouped : {false, true}) {
    gamma.clear_grad();
    const Tensor x = Tensor::zeros({0, 2, 2, 3});
    const Tensor y =
        grouped ? group_norm(x, gamma, beta, {.groups = 3}) : layer_norm(x, {3}, gamma, beta);
    EXPECT_EQ(y.shape(), x.shape());
    backward(y, {}, Tensor::zeros(y.shape()));
    EXPECT_EQ(gamma.grad().to_vector<float>(), (std::vector<float>{0, 0, 0})) << grouped;
  }
}

TEST_P(NormOnBackend, Bf16KeepsStatisticsInF32) {
  // 257 is no bf16; as a mean rounded to one it would put y off by the deviation.
  const Tensor x = Tensor::from<float>({256, 258, 256, 258}, {1, 4}).to(DType::bf16);
  const ScopedBackend hand(Backend::hand);
  expect_near(layer_norm(x, {4}, {}, {}, 0).to_vector<float>(), {-1, 1, -1, 1}, 1e-2);
  expect_near(group_norm(x, {}, {}, {.eps = 0}).to_vector<float>(), {-1, 1, -1, 1}, 1e-2);
}

TEST_P(NormOnBackend, OnlyWantedGradientsAreThere) {
  const Tensor x = Tensor::from<float>({1, 2, 4, 9, 3, 5}, {2, 3});
  const Tensor dy = Tensor::from<float>({1, 2, 3, 4, 5, 6}, {2, 3});
  for (const bool grouped : {false, true}) {
    const Tensor gamma = Tensor::full({3}, 1);
    Tensor beta = Tensor::zeros({3}).set_requires_grad(true);
    backward(grouped ? group_norm(x, gamma, beta, {}) : layer_norm(x, {3}, gamma, beta), {}, dy);
    EXPECT_EQ(beta.grad().to_vector<float>(), (std::vector<float>{5, 7, 9}));
    EXPECT_FALSE(gamma.grad().defined());
  }
}

TEST(LayerNorm, RefusesBadArgumentsInASentence) {
  const Tensor x = Tensor::zeros({4, 3});
  EXPECT_EQ(error_of([&] { layer_norm(x, {4}); }),
            "layer_norm: x is (4, 3) but its last dimensions must be those normalised, (4)");
  EXPECT_EQ(error_of([&] {
              layer_norm(x, {2, 4, 3});
            }),
            "layer_norm: x is (4, 3) but its last dimensions must be those normalised, (2, 4, 3)");
  EXPECT_EQ(error_of([&] { layer_norm(x, Shape{}); }),
            "layer_norm: x is (4, 3) but its last dimensions must be those normalised, ()");
  EXPECT_EQ(error_of([&] {
              layer_norm(Tensor::zeros({4, 0}), {0});
            }),
            "layer_norm: normalised are (0): there is no mean of nothing");
  EXPECT_EQ(error_of([&] { layer_norm(x, {3}, Tensor::zeros({4})); }),
            "layer_norm: gamma is (4) but must be (3), as what is normalised");
  EXPECT_EQ(error_of([&] {
              layer_norm(x, {3}, {}, Tensor::zeros({1, 3}));
            }),
            "layer_norm: beta is (1, 3) but must be (3), as what is normalised");
  EXPECT_EQ(error_of([&] { layer_norm(x, {3}, Tensor::zeros({3}, DType::f64)); }),
            "layer_norm: gamma is f64 (3) on cpu but must be f32 on cpu beside x, which is f32 (4, "
            "3) on cpu");
  EXPECT_EQ(error_of([&] { layer_norm(x, {3}, {}, {}, -1); }),
            "layer_norm: eps is -1 but must be finite and not negative");
}

TEST(GroupNorm, RefusesBadArgumentsInASentence) {
  const Tensor x = Tensor::zeros({4, 6});
  EXPECT_EQ(error_of([&] {
              group_norm(Tensor::zeros({4, 5, 6}), {}, {}, {});
            }),
            "group_norm: x is (4, 5, 6) but must be (n, h, w, c) or (n, c)");
  EXPECT_EQ(error_of([&] {
              group_norm(Tensor::zeros({4, 0, 2, 6}), {}, {}, {});
            }),
            "group_norm: x is (4, 0, 2, 6): its examples are empty");
  for (const int groups : {0, 4}) {
    EXPECT_EQ(
        error_of([&] { group_norm(x, {}, {}, {.groups = groups}); }),
        fmt::format("group_norm: {} groups do not divide the 6 channels of x (4, 6)", groups));
  }
  EXPECT_EQ(error_of([&] { group_norm(x, Tensor::zeros({3}), {}, {}); }),
            "group_norm: gamma is (3) but x (4, 6) has 6 channels; it must be (6)");
  EXPECT_EQ(error_of([&] { group_norm(x, {}, {}, {.eps = -1}); }),
            "group_norm: eps is -1 but must be finite and not negative");
}

}  // namespace
}  // namespace cucina
