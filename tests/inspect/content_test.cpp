// Promises of `damaged_images`, `label_balance` and `outliers`: a planted fault, its healthy twin,
// and what looks like the fault.
#include <gtest/gtest.h>

#include <cmath>
#include <set>

#include "recipe/inspect/scalars.h"
#include "tests/error_of.h"
#include "tests/inspect/sets.h"

namespace cucina::inspect {
namespace {

using checks::Outcome;
using testing::error_of;

// Smooth colour pictures: gradients and a disc, another for each.
data::ImageSet scenes(std::int64_t n, const char* stream) {
  const RandomStream random(5, stream);
  data::ImageSet set{.n = n, .h = 15, .w = 12, .c = 3, .classes = 4, .pixels = {}, .labels = {}};
  for (std::int64_t i = 0; i < n; ++i) {
    const auto draw = [&](std::uint64_t what) {
      return double(random.uniform(static_cast<std::uint64_t>(i), what));
    };
    set.labels.push_back(static_cast<std::int32_t>(i % 4));
    const double dy = 8 * draw(0) - 4, dx = 8 * draw(1) - 4, cy = 15 * draw(2), cx = 12 * draw(3);
    for (int y = 0; y < 15; ++y)
      for (int x = 0; x < 12; ++x)
        for (int k = 0; k < 3; ++k) {
          const double disc =
              std::hypot(y - cy, x - cx) < 4 ? 60 * draw(4 + static_cast<unsigned>(k)) : 0;
          set.pixels.push_back(static_cast<std::uint8_t>(
              std::clamp(100 + dy * y + dx * x + disc + 10 * k, 0.0, 255.0)));
        }
  }
  return set;
}

data::Dataset pictures() {
  data::Dataset data = healthy();
  data.train = scenes(300, "train");
  data.validation = scenes(100, "validation");
  data.test = scenes(100, "test");
  return data;
}

void expect_pass(const Inspection& inspection, const data::Dataset& data) {
  const Found found = inspected(inspection, data);
  EXPECT_EQ(found.verdict.outcome, Outcome::pass) << text(found);
}

void expect_found(const Inspection& inspection, const data::Dataset& data, Outcome outcome,
                  const std::string& reason, const std::string& evidence = "") {
  const Found found = inspected(inspection, data);
  EXPECT_EQ(found.verdict.outcome, outcome) << text(found);
  EXPECT_TRUE(has_reason(found, reason)) << reason << " is due: " << text(found);
  EXPECT_NE(text(found).find(evidence), std::string::npos)
      << evidence << " is due: " << text(found);
}

TEST(DamagedImages, HealthySetsPass) {
  expect_pass(damaged_images(), healthy());
  expect_pass(damaged_images(), pictures());
}

TEST(DamagedImages, UnreadableFilesAreListed) {
  const data::Dataset data = healthy();
  const Found found =
      damaged_images().run({.data = data, .unreadable = {{"a/b.png", "a/b.png: is no whole PNG"}}});
  EXPECT_EQ(found.verdict.outcome, Outcome::warn);
  EXPECT_NE(text(found).find("a/b.png: is no whole PNG"), std::string::npos) << text(found);
  EXPECT_EQ(found.details["unreadable"][0]["file"], "a/b.png");
}

TEST(DamagedImages, BlankImagesAreListed) {
  data::Dataset data = healthy();
  std::fill_n(image(&data.validation, 42), 144, std::uint8_t{9});
  expect_found(damaged_images(), data, Outcome::warn, "constant-image",
               "validation 42: every pixel is 9");
  for (std::int64_t i = 0; i < 30; ++i) std::fill_n(image(&data.train, i), 144, std::uint8_t{0});
  expect_found(damaged_images(), data, Outcome::fail, "constant-image");
}

TEST(DamagedImages, IntegerDivisionIsNamedAndBlackAndWhiteOnlyWarnedOf) {
  data::Dataset data = healthy();
  for (std::uint8_t& each : data.train.pixels) each = each >= 128 ? 1 : 0;
  expect_found(damaged_images(), data, Outcome::fail, "integer-division",
               "the highest is 1 of 255");
  for (std::uint8_t& each : data.train.pixels) each = each > 0 ? 255 : 0;
  expect_found(damaged_images(), data, Outcome::warn, "few-levels");
  // 17 levels of 0 to 16 are all there are.
  data = healthy();
  data.max_value = 16;
  for (data::ImageSet* set : {&data.train, &data.validation, &data.test})
    for (std::uint8_t& each : set->pixels) each %= 17;
  expect_pass(damaged_images(), data);
  data.train.pixels[5] = 17;
  expect_found(damaged_images(), data, Outcome::fail, "out-of-range");
}

TEST(DamagedImages, PlanesReadAsPixelsAreNamed) {
  data::Dataset data = pictures();
  const data::ImageSet right = data.train;
  for (std::int64_t i = 0; i < right.n; ++i)
    for (std::size_t at = 0; at < right.image_bytes(); ++at)
      image(&data.train, i)[at % 3 * (right.image_bytes() / 3) + at / 3] = right.image(i)[at];
  expect_found(damaged_images(), data, Outcome::fail, "planes-as-interleaved");
}

TEST(DamagedImages, AWrongWidthIsNamed) {
  // A smooth image of another width, noise from column to column of the wrong one.
  data::Dataset data = healthy();
  for (std::int64_t i = 0; i < data.train.n; ++i)
    for (int at = 0; at < 144; ++at)
      image(&data.train, i)[at] =
          static_cast<std::uint8_t>(127 + 100 * std::sin(2 * M_PI * at / 16.0 + double(i)));
  expect_found(damaged_images(), data, Outcome::fail, "wrong-stride");
}

TEST(LabelBalance, IndependentSplitsAreSilentAHundredTimes) {
  for (int seed = 0; seed < 100; ++seed) {
    data::Dataset data = healthy(4, 4);
    const RandomStream random(std::uint64_t(seed), "labels");
    const auto draw = [&](data::ImageSet* set, std::uint64_t step, std::int64_t n) {
      set->labels.clear();
      for (std::int64_t i = 0; i < n; ++i)
        set->labels.push_back(std::int32_t(random.below(step, static_cast<std::uint64_t>(i), 4)));
      set->n = n;
    };
    draw(&data.train, 0, 2000);
    draw(&data.validation, 1, 200);
    draw(&data.test, 2, 200);
    expect_pass(label_balance(), data);
  }
}

TEST(LabelBalance, AClassMergedInTrainAloneIsNamed) {
  data::Dataset data = healthy();
  for (std::int32_t& label : data.train.labels) label = label == 3 ? 0 : label;
  expect_found(label_balance(), data, Outcome::fail, "missing-class", "lower right: none");
  data = healthy();
  for (std::size_t i = 0; i < data.train.labels.size(); i += 2)
    if (data.train.labels[i] == 3) data.train.labels[i] = 0;
  expect_found(label_balance(), data, Outcome::fail, "labels-drift", "lower right: ");
}

TEST(LabelBalance, ImbalanceComesWithTheBiasOfTheHead) {
  data::Dataset data = healthy();
  for (data::ImageSet* set : {&data.train, &data.validation, &data.test})
    for (std::size_t i = 0; i < set->labels.size(); ++i) set->labels[i] = i % 11 == 0 ? 1 : 0;
  data.class_names = {"no", "yes"};
  for (data::ImageSet* set : {&data.train, &data.validation, &data.test}) set->classes = 2;
  expect_found(label_balance(), data, Outcome::warn, "imbalance");
  const Found found = inspected(label_balance(), data);
  EXPECT_NEAR(found.verdict.measured, 9.9, 0.2);
  const std::vector<double> bias = found.details["head_bias"];
  // 1 to 10: ln(0.1) apart.
  EXPECT_NEAR(bias[1] - bias[0], std::log(0.1), 0.02);
}

TEST(LabelBalance, AClassThatATestLacksIsWarnedOf) {
  data::Dataset data = healthy(1200, 8);
  data.test.labels = {0, 1, 2, 0, 1, 2, 0, 1};
  expect_found(label_balance(), data, Outcome::warn, "missing-class", "lower right: none");
}

TEST(Outliers, FiveBrightImagesOfFiveThousandAreTheFirst) {
  data::Dataset data = healthy(5000, 300);
  expect_pass(outliers(), data);
  for (std::int64_t i = 0; i < 5; ++i)
    for (std::int64_t at = 0; at < 144; ++at)
      image(&data.train, 900 * i)[at] = static_cast<std::uint8_t>(240 + (at + i) % 7);
  expect_found(outliers(), data, Outcome::warn, "brightness", "train 3600: 243");
  const Found found = inspected(outliers(), data);
  std::set<std::int64_t> last;
  for (const auto& each : found.details["brightness"]["last"])
    last.insert(each["index"].get<std::int64_t>());
  for (std::int64_t i = 0; i < 5; ++i) EXPECT_EQ(last.count(900 * i), 1u) << 900 * i;
  EXPECT_EQ(found.details["brightness"]["apart_high"].size(), 5u);
  EXPECT_EQ(found.sheets[0].rows[1][0].image.split, Split::train);
}

TEST(Outliers, DarkImagesStandApartToo) {
  data::Dataset data = healthy(5000, 300);
  for (std::int64_t at = 0; at < 144; ++at)
    image(&data.test, 7)[at] = static_cast<std::uint8_t>(at % 3);
  expect_found(outliers(), data, Outcome::warn, "brightness", "test 7: 1");
  const Found found = inspected(outliers(), data);
  EXPECT_EQ(found.details["brightness"]["apart_low"].size(), 1u);
  EXPECT_EQ(found.details["brightness"]["apart_high"].size(), 0u);
}

// A second group is no outlier.
TEST(Outliers, TwoKindsOfImagesAreLeftInPeace) {
  data::Dataset data = healthy(2000, 300);
  for (std::int64_t i = 0; i < 200; ++i)
    for (std::int64_t at = 0; at < 144; ++at) image(&data.train, 9 * i)[at] /= 2;
  expect_pass(outliers(), data);
}

TEST(Scalars, AreWhatTheirNamesSay) {
  data::Dataset data = healthy();
  data.train = {.n = 1,
                .h = 3,
                .w = 3,
                .c = 1,
                .classes = 4,
                .pixels = {0, 0, 0, 0, 90, 0, 0, 0, 0},
                .labels = {0}};
  const auto value = [&](const char* name) { return scalar_named(name).of(data.train, 0); };
  EXPECT_DOUBLE_EQ(value("brightness"), 10);
  EXPECT_DOUBLE_EQ(value("contrast"), std::sqrt(900.0 - 100.0));
  EXPECT_DOUBLE_EQ(value("border"), 0);
  EXPECT_DOUBLE_EQ(value("sharpness"), 4 * 90.0 / 9);
  EXPECT_DOUBLE_EQ(value("saturation"), 0);
  const data::ImageSet rgb{
      .n = 1, .h = 1, .w = 2, .c = 3, .classes = 4, .pixels = {10, 20, 50, 7, 7, 7}, .labels = {0}};
  EXPECT_DOUBLE_EQ(scalar_named("saturation").of(rgb, 0), 20);
  EXPECT_NE(error_of([] { scalar_named("hue"); }).find("choose from brightness, contrast"),
            std::string::npos);
}

TEST(Scalars, ConditionsAreAScalarASignAndANumber) {
  EXPECT_TRUE(parse_condition("contrast<5").holds(4.9));
  EXPECT_FALSE(parse_condition("contrast<5").holds(5));
  EXPECT_TRUE(parse_condition("contrast<=5").holds(5));
  EXPECT_TRUE(parse_condition("border>2.5").holds(3));
  EXPECT_TRUE(parse_condition("border>=3").holds(3));
  EXPECT_FALSE(parse_condition("border>=3").holds(2));
  for (const char* wrong :
       {"", "contrast", "hue<3", "contrast<", "contrast<x", "contrast<3px", "<3"})
    EXPECT_NE(error_of([&] { parse_condition(wrong); }), "") << wrong;
}

}  // namespace
}  // namespace cucina::inspect
