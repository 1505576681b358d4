// Promises of mix: images and targets computed by hand, shares that are Beta(alpha, alpha), boxes
// and partners that are uniform.
#include "kernels/mix/mix.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "kernels/common/backends.h"
#include "tests/error_of.h"

namespace cucina {
namespace {

using testing::error_of;

constexpr int kStep = 5;
const RandomStream kRandom(3, "mix");

MixParams at_step(const Mixing& how, int step = kStep) {
  return {.how = how, .random = kRandom, .step = Tensor::full({1}, step, DType::i32)};
}

// Labels 0, 1, 2, ...
Tensor own_labels(int n) {
  std::vector<std::int32_t> labels(static_cast<std::size_t>(n));
  std::iota(labels.begin(), labels.end(), 0);
  return Tensor::from(labels, {n});
}

// Images of one number each: b's pixels hold b.
Tensor numbered(int n, int h, int w) {
  std::vector<float> pixels;
  for (int b = 0; b < n; ++b) pixels.insert(pixels.end(), static_cast<std::size_t>(h * w), b);
  return Tensor::from(pixels, {n, h, w, 1});
}

// The largest distance between the samples' distribution and `cdf`, times sqrt(n): below 1.95 with
// probability 0.999 (Kolmogorov & Smirnov).
template <typename F>
double distance_from(std::vector<double> samples, F cdf) {
  std::sort(samples.begin(), samples.end());
  const auto n = static_cast<double>(samples.size());
  double worst = 0;
  for (std::size_t i = 0; i < samples.size(); ++i) {
    const double p = cdf(samples[i]);
    worst = std::max({worst, std::fabs(p - static_cast<double>(i) / n),
                      std::fabs(static_cast<double>(i + 1) / n - p)});
  }
  return worst * std::sqrt(n);
}

// The partner of image b in a batch of n, as the contract says.
int partner_of(int b, int n) {
  const std::uint64_t bits = kRandom.bits(kStep, MixDraw::shift);
  return static_cast<int>((static_cast<std::uint64_t>(b) + 1 + (bits * (n - 1) >> 32)) %
                          static_cast<std::uint64_t>(n));
}

class MixBackends : public ::testing::TestWithParam<Backend> {
 protected:
  // Shares of mixup, from the targets: image b has label b alone.
  std::vector<double> shares(float alpha) const {
    constexpr int kImages = 1500;
    const MixedBatch mixed =
        mix(numbered(kImages, 1, 1), own_labels(kImages), kImages, at_step({.mixup = alpha}));
    const std::vector<float> targets = mixed.targets.to_vector<float>();
    std::vector<double> all;
    for (std::size_t b = 0; b < kImages; ++b) all.push_back(targets[b * kImages + b]);
    return all;
  }

  ScopedBackend backend_{GetParam()};
};
INSTANTIATE_TEST_SUITE_P(Mix, MixBackends, ::testing::Values(Backend::reference, Backend::hand),
                         [](const auto& info) { return std::string(name(info.param)); });

TEST_P(MixBackends, MixupBlendsAnImageWithItsPartnerAsItsTargetSays) {
  constexpr int kImages = 9;
  const MixedBatch mixed =
      mix(numbered(kImages, 2, 3), own_labels(kImages), kImages, at_step({.mixup = 1}));
  const std::vector<float> images = mixed.images.to_vector<float>();
  const std::vector<float> targets = mixed.targets.to_vector<float>();
  for (int b = 0; b < kImages; ++b) {
    const int partner = partner_of(b, kImages);
    ASSERT_NE(partner, b);
    const float share = targets[static_cast<std::size_t>(b * kImages + b)];
    EXPECT_GT(share, 0);
    EXPECT_LT(share, 1);
    for (int k = 0; k < kImages; ++k) {
      EXPECT_FLOAT_EQ(targets[static_cast<std::size_t>(b * kImages + k)], k == b         ? share
                                                                          : k == partner ? 1 - share
                                                                                         : 0);
    }
    for (int i = 0; i < 6; ++i) {
      EXPECT_NEAR(images[static_cast<std::size_t>(6 * b + i)],
                  share * static_cast<float>(b) + (1 - share) * static_cast<float>(partner), 1e-5);
    }
  }
}

TEST_P(MixBackends, CutmixPastesABoxAndCountsItsPixels) {
  constexpr int kImages = 40, kHeight = 7, kWidth = 10;
  const MixedBatch mixed =
      mix(numbered(kImages, kHeight, kWidth), own_labels(kImages), kImages, at_step({.cutmix = 1}));
  const std::vector<float> images = mixed.images.to_vector<float>();
  const std::vector<float> targets = mixed.targets.to_vector<float>();
  int pasted_images = 0;
  for (int b = 0; b < kImages; ++b) {
    const int partner = partner_of(b, kImages);
    int top = kHeight, bottom = -1, left = kWidth, right = -1, pasted = 0;
    for (int row = 0; row < kHeight; ++row) {
      for (int column = 0; column < kWidth; ++column) {
        const float pixel = images[static_cast<std::size_t>((b * kHeight + row) * kWidth + column)];
        if (pixel == static_cast<float>(b)) continue;
        ASSERT_EQ(pixel, static_cast<float>(partner));
        ++pasted;
        top = std::min(top, row);
        bottom = std::max(bottom, row);
        left = std::min(left, column);
        right = std::max(right, column);
      }
    }
    if (pasted > 0) {
      EXPECT_EQ(pasted, (bottom - top + 1) * (right - left + 1)) << "not a box, image " << b;
      ++pasted_images;
    }
    const double own = 1 - pasted / static_cast<double>(kHeight * kWidth);
    EXPECT_NEAR(targets[static_cast<std::size_t>(b * kImages + b)], own, 1e-6);
    EXPECT_NEAR(targets[static_cast<std::size_t>(b * kImages + partner)], 1 - own, 1e-6);
  }
  EXPECT_GT(pasted_images, kImages / 2);
}

TEST_P(MixBackends, SharesAreBeta) {
  const double pi = std::acos(-1);
  EXPECT_LT(distance_from(shares(1), [](double x) { return x; }), 1.95);
  EXPECT_LT(distance_from(shares(0.5f), [&](double x) { return 2 / pi * std::asin(std::sqrt(x)); }),
            1.95);
  EXPECT_LT(distance_from(shares(2), [](double x) { return x * x * (3 - 2 * x); }), 1.95);
  EXPECT_GT(distance_from(shares(2), [](double x) { return x; }), 1.95);  // the test can tell
  for (const float alpha : {0.2f, 8.0f}) {
    const std::vector<double> all = shares(alpha);
    double mean = 0, square = 0;
    for (const double share : all) {
      mean += share / static_cast<double>(all.size());
      square += (share - 0.5) * (share - 0.5) / static_cast<double>(all.size());
    }
    const double n = static_cast<double>(all.size()), var = 1 / (4 * (2.0 * alpha + 1));
    const double fourth = 3 / (16 * (2.0 * alpha + 1) * (2.0 * alpha + 3));
    EXPECT_NEAR(mean, 0.5, 4 * std::sqrt(var / n)) << "alpha " << alpha;
    EXPECT_NEAR(square, var, 4 * std::sqrt((fourth - var * var) / n)) << "alpha " << alpha;
  }
  for (const double share : shares(1e-4f)) EXPECT_TRUE(share >= 0 && share <= 1);
}

TEST_P(MixBackends, WithBothOnEitherIsAsLikely) {
  constexpr int kImages = 1000;
  const MixedBatch mixed = mix(numbered(kImages, 2, 2), own_labels(kImages), kImages,
                               at_step({.mixup = 1, .cutmix = 1}));
  const std::vector<float> images = mixed.images.to_vector<float>();
  int blended = 0;
  for (const float pixel : images) blended += pixel != std::floor(pixel);
  EXPECT_NEAR(blended / 4, kImages / 2, 4 * std::sqrt(kImages / 4.0));
}

TEST_P(MixBackends, PartnersFollowTheStepAndAnOnlyImageIsItsOwn) {
  constexpr int kImages = 5, kSteps = 400;
  std::vector<int> counts(kImages);
  for (int step = 0; step < kSteps; ++step) {
    const std::vector<float> targets =
        mix(numbered(kImages, 1, 1), own_labels(kImages), kImages, at_step({.mixup = 1}, step))
            .targets.to_vector<float>();
    for (int k = 1; k < kImages; ++k)
      counts[static_cast<std::size_t>(k)] += targets[static_cast<std::size_t>(k)] > 0;
  }
  for (int k = 1; k < kImages; ++k)
    EXPECT_NEAR(counts[static_cast<std::size_t>(k)], kSteps / 4, 4 * std::sqrt(kSteps * 0.1875));
  const MixedBatch alone = mix(numbered(1, 2, 2), own_labels(1), 3, at_step({.mixup = 1}));
  EXPECT_EQ(alone.targets.to_vector<float>(), (std::vector<float>{1, 0, 0}));
  EXPECT_EQ(alone.images.to_vector<float>(), std::vector<float>(4, 0));
}

TEST_P(MixBackends, OffItLeavesImagesAndMakesOneHotTargets) {
  const Tensor x = numbered(3, 2, 2);
  const MixedBatch mixed =
      mix(x, Tensor::from(std::vector<std::int32_t>{2, 0, 5}, {3}), 3, at_step({}));
  EXPECT_EQ(mixed.images.to_vector<float>(), x.to_vector<float>());
  const std::vector<float> targets = mixed.targets.to_vector<float>();
  // A label outside of the classes: NaN, for the image and for whose partner it is.
  const int spoiled = partner_of(0, 3) == 2 ? 0 : 1;
  for (int b = 0; b < 3; ++b) {
    for (int k = 0; k < 3; ++k) {
      const float target = targets[static_cast<std::size_t>(3 * b + k)];
      if (b == 2 || b == spoiled) {
        EXPECT_TRUE(std::isnan(target)) << b;
      } else {
        EXPECT_EQ(target, k == (b == 0 ? 2 : 0) ? 1 : 0) << b;
      }
    }
  }
}

TEST(Mix, RefusesBadArgumentsInASentence) {
  const Tensor x = numbered(3, 2, 2);
  const auto refused = [&](const Mixing& how) {
    return error_of([&] { mix(x, own_labels(3), 3, at_step(how)); });
  };
  EXPECT_EQ(refused({.mixup = -1}), "mix: mixup is -1 but must be 0 or a positive number");
  EXPECT_EQ(refused({.cutmix = std::nanf("")}),
            "mix: cutmix is nan but must be 0 or a positive number");
  EXPECT_EQ(error_of([&] {
              mix(x.reshape({3, 4}), own_labels(3), 3, at_step({}));
            }),
            "mix: x is f32 (3, 4) on cpu but must be of rank 4: (n, h, w, c), with h, w, c at "
            "least 1");
  EXPECT_EQ(error_of([&] { mix(x, own_labels(2), 3, at_step({})); }),
            "mix: labels is i32 (2) on cpu but must be i32 (3) on cpu, where x is");
  EXPECT_EQ(error_of([&] { mix(x, own_labels(3), 0, at_step({})); }),
            "mix: classes is 0 but must be at least 1");
  EXPECT_EQ(error_of([&] { mix(x, own_labels(3), 3, {}); }),
            "mix: step is missing but must be i32 (1) on cpu, where x is");
}

}  // namespace
}  // namespace cucina
