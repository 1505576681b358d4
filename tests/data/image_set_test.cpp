// Promises of image sets: exact statistics, faithful selection, proportional and repeatable splits,
// SHA-256.
#include "recipe/data/image_set.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "core/error.h"
#include "recipe/data/sha256.h"
#include "recipe/data/split.h"

namespace cucina::data {
namespace {

ImageSet two_channel_set() {
  return {.n = 2,
          .h = 1,
          .w = 2,
          .c = 2,
          .classes = 3,
          .pixels = {1, 10, 2, 20, 3, 30, 4, 40},
          .labels = {2, 0}};
}

TEST(ImageSet, StatisticsArePerChannelOverAllPixels) {
  const ChannelStats stats = channel_stats(two_channel_set());
  ASSERT_EQ(stats.mean.size(), 2u);
  EXPECT_DOUBLE_EQ(stats.mean[0], 2.5);
  EXPECT_DOUBLE_EQ(stats.mean[1], 25.0);
  EXPECT_DOUBLE_EQ(stats.stddev[0], std::sqrt(1.25));
  EXPECT_DOUBLE_EQ(stats.stddev[1], std::sqrt(125.0));
}

TEST(ImageSet, AConstantImageHasNoSpread) {
  ImageSet set{.n = 1000, .h = 28, .w = 28, .c = 1, .classes = 1, .pixels = {}, .labels = {}};
  set.pixels.assign(1000 * 28 * 28, 255);
  EXPECT_EQ(channel_stats(set).mean[0], 255.0);
  EXPECT_EQ(channel_stats(set).stddev[0], 0.0);
}

TEST(ImageSet, StatisticsOfNothingAreRefused) { EXPECT_THROW(channel_stats(ImageSet{}), Error); }

TEST(ImageSet, SelectKeepsOrderPixelsAndLabels) {
  const std::int64_t indices[] = {1, 0, 1};
  const ImageSet set = select(two_channel_set(), indices);
  EXPECT_EQ(set.n, 3);
  EXPECT_EQ(set.pixels, (std::vector<std::uint8_t>{3, 30, 4, 40, 1, 10, 2, 20, 3, 30, 4, 40}));
  EXPECT_EQ(set.labels, (std::vector<std::int32_t>{0, 2, 0}));
  EXPECT_EQ(class_counts(set), (std::vector<std::int64_t>{2, 0, 1}));
  const std::int64_t outside[] = {2};
  EXPECT_THROW(select(two_channel_set(), outside), Error);
}

std::vector<std::int32_t> uneven_labels() {
  std::vector<std::int32_t> labels;
  for (int i = 0; i < 601; ++i) labels.push_back(i < 400 ? 0 : i < 597 ? 1 : 2);
  return labels;
}

TEST(Split, PartsAreExactDisjointAndProportional) {
  const auto labels = uneven_labels();
  const std::int64_t sizes[] = {100, 100};
  const auto parts = stratified_parts(labels, 3, sizes, kSplitSeed);
  ASSERT_EQ(parts.size(), 3u);
  EXPECT_EQ(parts[0].size(), 100u);
  EXPECT_EQ(parts[1].size(), 100u);
  EXPECT_EQ(parts[2].size(), 401u);
  std::vector<std::int64_t> all;
  for (const auto& part : parts) {
    EXPECT_TRUE(std::is_sorted(part.begin(), part.end()));
    all.insert(all.end(), part.begin(), part.end());
    for (int k = 0; k < 3; ++k) {
      const auto in_part =
          std::count_if(part.begin(), part.end(), [&](auto i) { return labels[i] == k; });
      const auto in_all = std::count(labels.begin(), labels.end(), k);
      // Largest remainders: each part is within one image of its exact share, the rest within two.
      EXPECT_NEAR(static_cast<double>(in_part),
                  static_cast<double>(in_all) * static_cast<double>(part.size()) / 601.0, 2.0)
          << "class " << k;
    }
  }
  std::sort(all.begin(), all.end());
  for (std::size_t i = 0; i < all.size(); ++i) ASSERT_EQ(all[i], static_cast<std::int64_t>(i));
}

TEST(Split, TheSeedDecidesAndNothingElse) {
  const auto labels = uneven_labels();
  const std::int64_t sizes[] = {50};
  EXPECT_EQ(stratified_parts(labels, 3, sizes, 7), stratified_parts(labels, 3, sizes, 7));
  EXPECT_NE(stratified_parts(labels, 3, sizes, 7), stratified_parts(labels, 3, sizes, 8));
}

TEST(Split, MorePartsThanImagesAreRefused) {
  const std::int64_t sizes[] = {3};
  const std::int32_t labels[] = {0, 0};
  EXPECT_THROW(stratified_parts(labels, 1, sizes, 1), Error);
}

// FIPS 180-4 example "abc", and the empty message.
TEST(Sha256, MatchesThePublishedExamples) {
  Sha256 abc;
  abc.update("a", 1);
  abc.update("bc", 2);
  EXPECT_EQ(abc.hex(), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(Sha256().hex(), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
}

}  // namespace
}  // namespace cucina::data
