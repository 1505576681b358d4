// Promises of contact sheets and statistics: pixels stay what they are, and numbers are right.
#include "recipe/inspect/sheet.h"

#include <gtest/gtest.h>

#include "recipe/inspect/statistics.h"
#include "tests/inspect/sets.h"

namespace cucina::inspect {
namespace {

data::Dataset one_image(std::int64_t h, std::int64_t w, std::vector<std::uint8_t> pixels,
                        int most) {
  data::Dataset data = healthy(4, 4);
  data.train = {
      .n = 1, .h = h, .w = w, .c = 1, .classes = 4, .pixels = std::move(pixels), .labels = {2}};
  data.max_value = most;
  return data;
}

TEST(Sheet, PixelsBecomeSquares) {
  const data::Dataset data = one_image(1, 2, {16, 8}, 16);
  const data::Picture picture =
      draw({.name = "a", .title = "", .rows = {{{{Split::train, 0}}}}}, {.data = data});
  // A gap of 4, then squares of 32.
  const auto at = [&](std::int64_t y, std::int64_t x) {
    return picture.pixels[static_cast<std::size_t>((y * picture.size.w + x) * 3)];
  };
  EXPECT_EQ(at(4, 4), 255);
  EXPECT_EQ(at(35, 35), 255);
  EXPECT_EQ(at(4, 36), 127);
  EXPECT_EQ(at(35, 67), 127);
  EXPECT_EQ(at(3, 3), at(36, 4));  // outside
  EXPECT_EQ(picture.size.w, 4 + 64 + 4);
}

TEST(Sheet, CaptionsAreDotsAndLargeImagesShrink) {
  const data::Dataset data = one_image(100, 200, std::vector<std::uint8_t>(20000, 0), 255);
  const auto ink = [&](const std::string& caption) {
    const data::Picture picture =
        draw({.name = "a", .title = "", .rows = {{{{Split::train, 0}, caption}}}}, {.data = data});
    EXPECT_EQ(picture.size.w, 72);
    EXPECT_EQ(picture.size.h, 4 + 32 + 14 + 4);
    return std::count(picture.pixels.begin(), picture.pixels.end(), 220) / 3;
  };
  EXPECT_EQ(ink(""), 0);
  EXPECT_EQ(ink("1"), 4 * 8);  // 8 dots of 2 x 2
  EXPECT_EQ(ink("l1"), ink("L1"));
  EXPECT_GT(ink("01234567"), 0);
  EXPECT_EQ(ink("01234567"), ink("0123456789"));  // what does not fit is left out
}

TEST(Sheet, ListsAreBrokenIntoRows) {
  const std::vector<Tile> tiles(25);
  const auto rows = in_rows(tiles);
  ASSERT_EQ(rows.size(), 3u);
  EXPECT_EQ(rows[0].size(), 12u);
  EXPECT_EQ(rows[2].size(), 1u);
  EXPECT_TRUE(in_rows(std::vector<Tile>()).empty());
}

TEST(Statistics, AreTheSetsOwn) {
  data::Dataset data = healthy(4, 4);
  data.train = {.n = 2,
                .h = 1,
                .w = 1,
                .c = 3,
                .classes = 4,
                .pixels = {0, 10, 20, 100, 10, 40},
                .labels = {0, 2}};
  const auto all = statistics({.data = data});
  const auto& train = all["splits"]["train"];
  EXPECT_EQ(train["images"], 2);
  EXPECT_DOUBLE_EQ(train["channels"][0]["mean"], 50);
  EXPECT_DOUBLE_EQ(train["channels"][0]["deviation"], 50);
  EXPECT_EQ(train["channels"][2]["lowest"], 20);
  EXPECT_EQ(train["channels"][2]["highest"], 40);
  EXPECT_EQ(train["classes"][2]["images"], 1);
  EXPECT_DOUBLE_EQ(train["classes"][2]["mean"], 50);
  EXPECT_EQ(train["classes"][1]["images"], 0);
  EXPECT_NE(summary(all).find("upper left"), std::string::npos);
  EXPECT_EQ(samples({.data = data}).rows[2][0].image, (Ref{Split::train, 1}));
}

}  // namespace
}  // namespace cucina::inspect
