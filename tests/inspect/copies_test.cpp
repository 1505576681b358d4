// Promises of `duplicates`: planted copies are found, each pair and no other.
#include "recipe/inspect/copies.h"

#include <gtest/gtest.h>

#include <set>

#include "recipe/data/idx.h"
#include "tests/inspect/sets.h"
#include "tests/optional_data.h"

namespace cucina::inspect {
namespace {

using checks::Outcome;
using Pairs = std::set<std::pair<Ref, Ref>>;

Pairs pairs_of(const std::vector<Pair>& list) {
  Pairs pairs;
  for (const Pair& each : list) pairs.emplace(each.first, each.second);
  EXPECT_EQ(pairs.size(), list.size()) << "a pair is listed twice";
  return pairs;
}

int one_level(int pixel, std::int64_t at) { return pixel + int(at * 7919 % 3) - 1; }

struct Planted {
  Pairs exact, near;
};

// 37 exact copies and 12 that differ by a grey level in train, and 20 images of train in
// validation.
Planted plant(data::Dataset* data) {
  Planted planted;
  for (std::int64_t i = 0; i < 49; ++i) {
    copy_image(data->train, 20 * i, &data->train, 20 * i + 7, i < 37 ? nullptr : &one_level);
    (i < 37 ? planted.exact : planted.near)
        .emplace(Ref{Split::train, 20 * i}, Ref{Split::train, 20 * i + 7});
  }
  for (std::int64_t i = 0; i < 20; ++i) {
    copy_image(data->train, 20 * i + 3, &data->validation, 5 * i);
    planted.exact.emplace(Ref{Split::train, 20 * i + 3}, Ref{Split::validation, 5 * i});
  }
  return planted;
}

TEST(Duplicates, PlantedPairsAreFoundAndNoOthers) {
  data::Dataset data = healthy();
  const Planted planted = plant(&data);
  const Copies copies = find_copies({.data = data});
  EXPECT_EQ(pairs_of(copies.exact), planted.exact);
  EXPECT_EQ(pairs_of(copies.near), planted.near);
  const Found found = inspected(duplicates(), data);
  EXPECT_EQ(found.verdict.outcome, Outcome::fail) << text(found);
  EXPECT_EQ(found.verdict.reasons[0], "shared");  // 20 of 300
  EXPECT_EQ(found.verdict.evidence[0], "validation 0 is train 3");
  EXPECT_EQ(found.details["exact"].size(), 57u);
  EXPECT_EQ(found.details["near"].size(), 12u);
  ASSERT_EQ(found.sheets.size(), 1u);
  EXPECT_EQ(found.sheets[0].rows[0][1].image, (Ref{Split::validation, 0}));
}

TEST(Duplicates, TheHealthyTwinHasNone) {
  const Found found = inspected(duplicates(), healthy());
  EXPECT_EQ(found.verdict.outcome, Outcome::pass) << text(found);
  EXPECT_TRUE(found.sheets.empty());
}

TEST(Duplicates, AFewAreWarnedOf) {
  data::Dataset data = healthy();
  copy_image(data.train, 1, &data.validation, 2);
  EXPECT_EQ(inspected(duplicates(), data).verdict.outcome, Outcome::warn);
}

TEST(Duplicates, CopiesThatAreBrighterOrOfLessContrastAreNear) {
  data::Dataset data = healthy();
  copy_image(data.train, 1, &data.test, 2, [](int pixel, std::int64_t) { return pixel + 20; });
  copy_image(data.train, 3, &data.test, 4,
             [](int pixel, std::int64_t) { return pixel * 95 / 100; });
  EXPECT_EQ(pairs_of(find_copies({.data = data}).near),
            (Pairs{{{Split::train, 1}, {Split::test, 2}}, {{Split::train, 3}, {Split::test, 4}}}));
}

// Traps: the same content elsewhere, upside down, as a negative; flat images.
TEST(Duplicates, WhatIsOnlyAlikeIsLeftInPeace) {
  data::Dataset data = healthy();
  data::ImageSet& train = data.train;
  for (std::int64_t at = 0; at < 144; ++at) {
    image(&train, 1)[at] = train.image(0)[(at + 8) % 144];
    image(&train, 2)[at] = train.image(0)[143 - at];
    image(&train, 3)[at] = static_cast<std::uint8_t>(255 - train.image(0)[at]);
    image(&train, 4)[at] = 100;
    image(&train, 5)[at] = static_cast<std::uint8_t>(100 + at % 2);
  }
  const Copies copies = find_copies({.data = data});
  EXPECT_TRUE(copies.exact.empty());
  EXPECT_TRUE(copies.near.empty());
}

TEST(Duplicates, ACopyWithAnotherLabelIsNamed) {
  data::Dataset data = healthy();
  copy_image(data.train, 1, &data.train, 9);
  data.train.labels[1] = 0;
  data.train.labels[9] = 3;
  const Found found = inspected(duplicates(), data);
  EXPECT_TRUE(has_reason(found, "copies-with-other-labels")) << text(found);
  EXPECT_NE(text(found).find("train 9 is train 1, but labelled lower right, not upper left"),
            std::string::npos)
      << text(found);
}

TEST(Duplicates, AllCopiesOfOneImageAreNamedOnce) {
  data::Dataset data = healthy();
  for (const std::int64_t j : {5, 6, 7}) copy_image(data.train, 4, &data.train, j);
  EXPECT_EQ(pairs_of(find_copies({.data = data}).exact),
            (Pairs{{{Split::train, 4}, {Split::train, 5}},
                   {{Split::train, 4}, {Split::train, 6}},
                   {{Split::train, 4}, {Split::train, 7}}}));
}

TEST(Duplicates, OfRealImagesOnlyPlantedOnesAreFound) {
  const auto folder = optional_data() / "mnist";
  if (!std::filesystem::exists(folder)) GTEST_SKIP() << "mnist is not there; set CUCINA_DATA";
  data::Dataset data = data::load_idx(folder);
  std::vector<std::int64_t> first(6000);
  for (std::size_t i = 0; i < first.size(); ++i) first[i] = std::int64_t(i);
  data.train = data::select(data.train, first);
  EXPECT_EQ(inspected(duplicates(), data).verdict.outcome, Outcome::pass);
  const Planted planted = plant(&data);
  const Copies copies = find_copies({.data = data});
  EXPECT_EQ(pairs_of(copies.exact), planted.exact);
  EXPECT_EQ(pairs_of(copies.near), planted.near);
}

}  // namespace
}  // namespace cucina::inspect
