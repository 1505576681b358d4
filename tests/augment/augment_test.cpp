// Promises of augment: pixels computed by hand, the distribution of what is drawn, and that an
// image is changed in the same way wherever it is in a batch.
#include "kernels/augment/augment.h"

#include <gtest/gtest.h>

#include <cmath>
#include <map>

#include "kernels/common/backends.h"
#include "tests/error_of.h"

namespace cucina {
namespace {

using testing::error_of;

constexpr int kStep = 3;
const RandomStream kRandom(11, "augment");

Tensor vector_of(std::vector<float> values) {
  const auto size = static_cast<std::int64_t>(values.size());
  return Tensor::from(values, {size});
}

// `images` at `indices`, not standardised: mean 0 and deviation 1.
Tensor changed(const Tensor& images, const std::vector<std::int32_t>& indices,
               const Augmentation& how, int step = kStep) {
  const std::int64_t c = images.size(3);
  return augment({images, Tensor::from(indices, {static_cast<std::int64_t>(indices.size())}),
                  Tensor::zeros({c}), Tensor::full({c}, 1)},
                 {.how = how, .random = kRandom, .step = Tensor::full({1}, step, DType::i32)});
}

std::vector<std::int32_t> first_indices(int n) {
  std::vector<std::int32_t> indices(static_cast<std::size_t>(n));
  for (int i = 0; i < n; ++i) indices[static_cast<std::size_t>(i)] = i;
  return indices;
}

// `n` times the image whose pixel i (of h w c) is f(i).
template <typename F>
Tensor same_images(int n, int h, int w, int c, F f) {
  std::vector<std::uint8_t> pixels;
  for (int image = 0; image < n; ++image) {
    for (int i = 0; i < h * w * c; ++i) pixels.push_back(static_cast<std::uint8_t>(f(i)));
  }
  return Tensor::from(pixels, {n, h, w, c});
}

// The contract's numbers, read anew.
float drawn(std::int64_t image, unsigned draw) {
  return kRandom.uniform(kStep, static_cast<std::uint64_t>(image) * kAugmentDraws + draw);
}
int drawn_below(std::int64_t image, unsigned draw, int n) {
  const std::uint64_t bits =
      kRandom.bits(kStep, static_cast<std::uint64_t>(image) * kAugmentDraws + draw);
  return static_cast<int>(bits * static_cast<std::uint64_t>(n) >> 32);
}

// Pearson's statistic against equal shares.
double chi_square(const std::map<int, int>& counts, int cells, int n) {
  const double expected = static_cast<double>(n) / cells;
  double sum = 0;
  for (const auto& [cell, count] : counts)
    sum += (count - expected) * (count - expected) / expected;
  return sum + expected * (cells - static_cast<int>(counts.size()));
}

class AugmentBackends : public ::testing::TestWithParam<Backend> {
 protected:
  ScopedBackend backend_{GetParam()};
};
INSTANTIATE_TEST_SUITE_P(Augment, AugmentBackends,
                         ::testing::Values(Backend::reference, Backend::hand),
                         [](const auto& info) { return std::string(name(info.param)); });

TEST_P(AugmentBackends, WithoutAugmentationImagesAreGatheredAndStandardised) {
  const std::vector<std::uint8_t> pixels{0, 10, 20, 30, 40, 50, 60, 70, 80, 90, 100, 255};
  const Tensor images = Tensor::from(pixels, {3, 1, 2, 2});
  const AugmentInputs in{images, Tensor::from(std::vector<std::int32_t>{2, 0, 2}, {3}),
                         vector_of({50, 20}), vector_of({2, 4})};
  const std::vector<float> wanted{15,  17.5f, 25,  58.75f,  // (80 - 50) / 2, (90 - 20) / 4, ...
                                  -25, -2.5f, -15, 2.5f,   15, 17.5f, 25, 58.75f};
  const Tensor y = augment(in);
  EXPECT_EQ(y.shape(), Shape({3, 1, 2, 2}));
  EXPECT_EQ(y.to_vector<float>(), wanted);
  EXPECT_EQ(augment(in, {.dtype = DType::bf16}).to_vector<float>(), wanted);
  AugmentInputs wide = in;
  wide.mean = in.mean.to(DType::f64);
  wide.stddev = in.stddev.to(DType::f64);
  EXPECT_EQ(augment(wide, {.dtype = DType::f64}).to_vector<float>(), wanted);
}

TEST_P(AugmentBackends, AnImageIsChangedAlikeWhereverItIsInABatch) {
  const Tensor images = same_images(9, 8, 7, 3, [](int i) { return i * i; });
  const Augmentation how{.crop = 2,
                         .flip = 0.5f,
                         .rotate = 20,
                         .scale = 0.2f,
                         .brightness = 0.3f,
                         .contrast = 0.3f,
                         .saturation = 0.3f,
                         .cutout = 3};
  const Tensor batch = changed(images, {0, 1, 2, 3, 4, 5, 6, 7, 8}, how);
  const Tensor other = changed(images, {8, 5, 5, 0}, how);
  const auto of = [](const Tensor& t, int i) { return t.rows(i, i + 1).to_vector<float>(); };
  EXPECT_EQ(of(other, 0), of(batch, 8));
  EXPECT_EQ(of(other, 1), of(batch, 5));
  EXPECT_EQ(of(other, 2), of(batch, 5));
  EXPECT_EQ(of(other, 3), of(batch, 0));
  EXPECT_NE(of(batch, 0), of(batch, 1));  // the same pixels, other numbers
  EXPECT_NE(of(changed(images, {5}, how, kStep + 1), 0), of(batch, 5));
}

TEST_P(AugmentBackends, ACropReflectsAtTheCentresOfTheOuterPixels) {
  constexpr int kSize = 4;
  const Tensor images = same_images(64, kSize, kSize, 1, [](int i) { return i; });
  const std::vector<float> y = changed(images, first_indices(64), {.crop = 3}).to_vector<float>();
  // Index -3..6 of a line of four.
  constexpr int kLine[] = {3, 2, 1, 0, 1, 2, 3, 2, 1, 0};
  std::size_t i = 0;
  for (int image = 0; image < 64; ++image) {
    const int a = drawn_below(image, AugmentDraw::crop_row, 7);
    const int b = drawn_below(image, AugmentDraw::crop_column, 7);
    for (int row = 0; row < kSize; ++row) {
      for (int column = 0; column < kSize; ++column, ++i) {
        ASSERT_EQ(y[i], kLine[row + a] * kSize + kLine[column + b]) << "image " << image;
      }
    }
  }
}

TEST_P(AugmentBackends, BeyondAZeroBorderPixelsAreBlackBeforeTheyAreStandardised) {
  const Tensor images = same_images(32, 3, 3, 1, [](int) { return 100; });
  const Tensor y =
      augment({images, Tensor::from(first_indices(32), {32}), vector_of({40}), vector_of({2})},
              {.how = {.crop = 2, .border = Border::zero},
               .random = kRandom,
               .step = Tensor::full({1}, kStep, DType::i32)});
  std::size_t i = 0;
  const std::vector<float> values = y.to_vector<float>();
  for (int image = 0; image < 32; ++image) {
    const int a = drawn_below(image, AugmentDraw::crop_row, 5) - 2;
    const int b = drawn_below(image, AugmentDraw::crop_column, 5) - 2;
    for (int row = a; row < a + 3; ++row) {
      for (int column = b; column < b + 3; ++column, ++i) {
        const bool inside = row >= 0 && row < 3 && column >= 0 && column < 3;
        ASSERT_EQ(values[i], inside ? 30 : -20) << "image " << image;
      }
    }
  }
}

TEST_P(AugmentBackends, CropsAreUniformAndRowsDoNotFollowColumns) {
  constexpr int kImages = 5000;
  const Tensor images = same_images(kImages, 5, 5, 1, [](int i) { return i; });
  const std::vector<float> y =
      changed(images, first_indices(kImages), {.crop = 2}).to_vector<float>();
  std::map<int, int> counts;  // by the pixel that came to the centre
  for (int image = 0; image < kImages; ++image) {
    ++counts[static_cast<int>(y[static_cast<std::size_t>(image) * 25 + 12])];
  }
  EXPECT_EQ(counts.size(), 25u);
  EXPECT_LT(chi_square(counts, 25, kImages), 51.2);  // 24 degrees of freedom, p = 0.001
}

TEST_P(AugmentBackends, AFlipTurnsLinesRoundWithItsProbability) {
  constexpr int kImages = 4000;
  const Tensor images = same_images(kImages, 2, 3, 1, [](int i) { return i; });
  for (const float p : {0.0f, 0.5f, 0.2f, 1.0f}) {
    const std::vector<float> y =
        changed(images, first_indices(kImages), {.flip = p}).to_vector<float>();
    int flipped = 0;
    for (std::size_t i = 0; i < y.size(); i += 6) {
      const std::vector<float> image(y.begin() + static_cast<std::ptrdiff_t>(i),
                                     y.begin() + static_cast<std::ptrdiff_t>(i) + 6);
      if (image == std::vector<float>{2, 1, 0, 5, 4, 3}) {
        ++flipped;
      } else {
        ASSERT_EQ(image, (std::vector<float>{0, 1, 2, 3, 4, 5}));
      }
    }
    EXPECT_NEAR(flipped, kImages * p, 4 * std::sqrt(kImages * p * (1 - p))) << "p = " << p;
  }
}

TEST_P(AugmentBackends, ACutoutIsASquareAroundAUniformPixel) {
  constexpr int kImages = 3000, kSize = 6;
  const Tensor images = same_images(kImages, kSize, kSize, 1, [](int) { return 200; });
  for (const int side : {1, 3, 4}) {
    const std::vector<float> y =
        changed(images, first_indices(kImages), {.cutout = side}).to_vector<float>();
    std::map<int, int> counts;
    std::size_t i = 0;
    for (int image = 0; image < kImages; ++image) {
      const int top = drawn_below(image, AugmentDraw::cutout_row, kSize) - side / 2;
      const int left = drawn_below(image, AugmentDraw::cutout_column, kSize) - side / 2;
      for (int row = 0; row < kSize; ++row) {
        for (int column = 0; column < kSize; ++column, ++i) {
          const bool blank =
              row >= top && row < top + side && column >= left && column < left + side;
          ASSERT_EQ(y[i], blank ? 0 : 200) << "image " << image << ", side " << side;
          if (blank && side == 1) ++counts[row * kSize + column];
        }
      }
    }
    if (side > 1) continue;
    EXPECT_EQ(counts.size(), 36u);
    EXPECT_LT(chi_square(counts, 36, kImages), 66.7);  // 35 degrees of freedom, p = 0.001
  }
}

TEST_P(AugmentBackends, ATurnReadsBetweenPixels) {
  constexpr int kSize = 9;
  constexpr double kCentre = (kSize - 1) / 2.0;
  // Linear in row and column, so that interpolation gives row and column back.
  const Tensor images =
      same_images(20, kSize, kSize, 1, [](int i) { return 10 * (i / kSize) + i % kSize; });
  const std::vector<float> y =
      changed(images, first_indices(20), {.rotate = 180, .scale = 0.5f, .border = Border::zero})
          .to_vector<float>();
  int compared = 0;
  for (int image = 0; image < 20; ++image) {
    const double angle = 180 * (2.0 * drawn(image, AugmentDraw::angle) - 1) * std::acos(-1) / 180;
    const double zoom = 1 + 0.5 * (2.0 * drawn(image, AugmentDraw::zoom) - 1);
    for (int row = 0; row < kSize; ++row) {
      for (int column = 0; column < kSize; ++column) {
        // Counterclockwise: what stood to the right of the centre comes to stand above it.
        const double right = (column - kCentre) / zoom, down = (row - kCentre) / zoom;
        const double from_column = kCentre + std::cos(angle) * right - std::sin(angle) * down;
        const double from_row = kCentre + std::sin(angle) * right + std::cos(angle) * down;
        const double y_here = y[static_cast<std::size_t>((image * kSize + row) * kSize + column)];
        const auto inside = [](double at, double margin) {
          return at >= -margin && at <= kSize - 1 + margin;
        };
        if (inside(from_row, 0) && inside(from_column, 0)) {
          EXPECT_NEAR(y_here, 10 * from_row + from_column, 1e-3) << "image " << image;
          ++compared;
        } else if (!inside(from_row, 1) || !inside(from_column, 1)) {
          EXPECT_EQ(y_here, 0) << "image " << image;
        }
      }
    }
  }
  EXPECT_GT(compared, 1000);
}

TEST_P(AugmentBackends, ColoursChangeByTheirFactorsAndAreClamped) {
  const std::vector<std::uint8_t> pixels{200, 100, 50, 0, 40, 250};
  std::vector<std::uint8_t> all;
  for (int i = 0; i < 50; ++i) all.insert(all.end(), pixels.begin(), pixels.end());
  const Tensor images = Tensor::from(all, {50, 1, 2, 3});
  const double gray[] = {0.299 * 200 + 0.587 * 100 + 0.114 * 50, 0.587 * 40 + 0.114 * 250};
  const double mean_gray = (gray[0] + gray[1]) / 2;
  const std::vector<float> y =
      changed(images, first_indices(50), {.brightness = 1, .contrast = 0.9f, .saturation = 0.8f})
          .to_vector<float>();
  int clamped = 0;
  for (int image = 0; image < 50; ++image) {
    const double brightness = 2.0 * drawn(image, AugmentDraw::brightness);
    const double contrast = 1 + 0.9f * (2.0 * drawn(image, AugmentDraw::contrast) - 1);
    const double saturation = 1 + 0.8f * (2.0 * drawn(image, AugmentDraw::saturation) - 1);
    for (int i = 0; i < 6; ++i) {
      const double v =
          saturation * pixels[static_cast<std::size_t>(i)] + (1 - saturation) * gray[i / 3];
      const double wanted = brightness * (contrast * v + (1 - contrast) * mean_gray);
      clamped += wanted < 0 || wanted > 255;
      EXPECT_NEAR(y[static_cast<std::size_t>(image * 6 + i)],
                  std::min(255.0, std::max(0.0, wanted)), 1e-3);
    }
  }
  EXPECT_GT(clamped, 20);
}

TEST_P(AugmentBackends, AFlippedCropIsACropFlippedAndACutoutStays) {
  // Order: the crop's window is read backwards; the square is not.
  const Tensor images = same_images(40, 5, 5, 1, [](int i) { return 1 + i; });
  const auto all = first_indices(40);
  const std::vector<float> crop = changed(images, all, {.crop = 2}).to_vector<float>();
  const std::vector<float> both =
      changed(images, all, {.crop = 2, .flip = 1, .cutout = 2}).to_vector<float>();
  for (int image = 0; image < 40; ++image) {
    const int top = drawn_below(image, AugmentDraw::cutout_row, 5) - 1;
    const int left = drawn_below(image, AugmentDraw::cutout_column, 5) - 1;
    for (int row = 0; row < 5; ++row) {
      for (int column = 0; column < 5; ++column) {
        const int line = (image * 5 + row) * 5;
        const bool blank = row >= top && row <= top + 1 && column >= left && column <= left + 1;
        ASSERT_EQ(both[static_cast<std::size_t>(line + column)],
                  blank ? 0 : crop[static_cast<std::size_t>(line + 4 - column)]);
      }
    }
  }
}

TEST_P(AugmentBackends, AnIndexOutsideOfTheSetGivesNan) {
  const Tensor images = same_images(3, 4, 4, 3, [](int i) { return i; });
  const Tensor y = changed(images, {-1, 2, 3}, {.crop = 1, .contrast = 0.5f, .cutout = 2});
  for (const float value : y.rows(0, 1).to_vector<float>()) EXPECT_TRUE(std::isnan(value));
  for (const float value : y.rows(1, 2).to_vector<float>()) EXPECT_FALSE(std::isnan(value));
  for (const float value : y.rows(2, 3).to_vector<float>()) EXPECT_TRUE(std::isnan(value));
}

TEST(Augment, RefusesBadArgumentsInASentence) {
  const Tensor images = Tensor::zeros({4, 6, 5, 2}, DType::u8);
  const auto refused = [&](const Augmentation& how) {
    return error_of([&] { changed(images, {0}, how); });
  };
  EXPECT_EQ(refused({.crop = 5}),
            "augment: crop is 5 but must be from 0 to 4, less than a side of 6x5 images");
  EXPECT_EQ(refused({.crop = -1}),
            "augment: crop is -1 but must be from 0 to 4, less than a side of 6x5 images");
  EXPECT_EQ(refused({.flip = 1.5f}), "augment: flip is 1.5 but must be in [0, 1]");
  EXPECT_EQ(refused({.rotate = std::nanf("")}), "augment: rotate is nan but must be in [0, 180]");
  EXPECT_EQ(refused({.scale = 1}).substr(0, 40), "augment: scale is 1 but must be in [0, 0");
  EXPECT_EQ(refused({.brightness = -1}), "augment: brightness is -1 but must be in [0, 1]");
  EXPECT_EQ(refused({.contrast = 0.5f}),
            "augment: contrast needs images of 1 or 3 channels but they have 2");
  EXPECT_EQ(refused({.saturation = 0.5f}),
            "augment: saturation needs images of 3 channels but they have 2");
  EXPECT_EQ(refused({.cutout = 7}),
            "augment: cutout is 7 but must be from 0 to 6, the longer side of 6x5 images");

  const Tensor indices = Tensor::zeros({3}, DType::i32), two = Tensor::full({2}, 1);
  const auto error = [&](const AugmentInputs& in, const AugmentParams& params = {}) {
    return error_of([&] { augment(in, params); });
  };
  EXPECT_EQ(error({}), "augment: images are missing but must be u8 of rank 4: (N, h, w, c)");
  EXPECT_EQ(error({two, indices, two, two}),
            "augment: images are f32 (2) on cpu but must be u8 of rank 4: (N, h, w, c)");
  EXPECT_EQ(error({images, two, two, two}),
            "augment: indices is f32 (2) on cpu but must be i32 (2) on cpu, where the images are");
  EXPECT_EQ(error({images, indices, Tensor::zeros({3}), two}),
            "augment: mean is f32 (3) on cpu but must be f32 (2) on cpu, where the images are");
  EXPECT_EQ(error({images, indices, two, {}}), "augment: stddev is missing; give f32 (2) on cpu");
  EXPECT_EQ(error({images, indices, two, two}, {.dtype = DType::f64}),
            "augment: mean is f32 (2) on cpu but must be f64 (2) on cpu, where the images are");
  EXPECT_EQ(error({images, indices, two, two}, {.how = {.flip = 1}}),
            "augment: step is missing; give i32 (1) on cpu");
}

}  // namespace
}  // namespace cucina
