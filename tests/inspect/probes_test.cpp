// Promises of what asks a probe or a model: wrong labels, labels that do not belong to their
// images, how much detail matters, and mispredictions.
#include <gtest/gtest.h>

#include <set>

#include "recipe/data/idx.h"
#include "recipe/data/loader.h"
#include "recipe/inspect/probe.h"
#include "recipe/skeleton/trainer.h"
#include "tests/inspect/sets.h"
#include "tests/optional_data.h"

namespace cucina::inspect {
namespace {

using checks::Outcome;

struct Ranking {
  double precision = 0;  // of the listed suspects
  double recall = 0;
};

Ranking rank(const Found& found, const std::vector<std::int64_t>& flipped) {
  const std::set<std::int64_t> wrong(flipped.begin(), flipped.end());
  double hits = 0;
  for (const auto& each : found.details["suspects"])
    hits += wrong.count(each["index"].get<std::int64_t>());
  return {hits / std::max<double>(1, double(found.details["suspects"].size())),
          hits / double(wrong.size())};
}

TEST(LabelIssues, TenPercentFlippedAreFoundAndCounted) {
  data::Dataset data = healthy();
  const auto flipped = flip_labels(&data.train, 0.1);
  const Found found = inspected(label_issues(), data);
  EXPECT_EQ(found.verdict.outcome, Outcome::warn) << text(found);
  EXPECT_TRUE(has_reason(found, "label-noise"));
  EXPECT_NEAR(found.details["wrong_at_most"].get<double>(), 0.1, 0.03);
  const Ranking ranking = rank(found, flipped);
  EXPECT_GE(ranking.precision, 0.8);
  EXPECT_GE(ranking.recall, 0.7);
  const auto& first = found.details["suspects"][0];
  EXPECT_NE(first["label"], first["suggested"]);
}

TEST(LabelIssues, TheHealthyTwinPasses) {
  const Found found = inspected(label_issues(), healthy());
  EXPECT_EQ(found.verdict.outcome, Outcome::pass) << text(found);
  EXPECT_LT(found.details["wrong_at_most"].get<double>(), 0.02);
}

// Trap: classes that overlap look like wrong labels to whoever cannot tell them apart.
TEST(LabelIssues, HardImagesAreNoAlarm) {
  data::Dataset data = healthy();
  for (std::size_t i = 0; i < data.train.pixels.size(); ++i)
    data.train.pixels[i] = static_cast<std::uint8_t>(data.train.pixels[i] / 8 +
                                                     RandomStream(9, "noise").below(0, i, 200));
  const Found found = inspected(label_issues(), data);
  EXPECT_LT(found.details["probe_agreement"].get<double>(), 0.9) << "too easy to be a trap";
  EXPECT_NE(found.verdict.outcome, Outcome::warn) << text(found);
  EXPECT_NE(found.verdict.outcome, Outcome::fail) << text(found);
}

TEST(LabelIssues, AreCountedOnRealDigits) {
  const auto folder = optional_data() / "mnist";
  if (!std::filesystem::exists(folder)) GTEST_SKIP() << "mnist is not there; set CUCINA_DATA";
  data::Dataset data = data::load_idx(folder);
  std::vector<std::int64_t> first(8000);
  for (std::size_t i = 0; i < first.size(); ++i) first[i] = std::int64_t(i);
  data.train = data::select(data.train, first);
  const Found clean = inspected(label_issues(), data);
  EXPECT_EQ(clean.verdict.outcome, Outcome::pass) << text(clean);
  EXPECT_LT(clean.details["wrong_at_most"].get<double>(), 0.02);
  const auto flipped = flip_labels(&data.train, 0.1);
  const Found found = inspected(label_issues(), data);
  EXPECT_EQ(found.verdict.outcome, Outcome::warn) << text(found);
  EXPECT_NEAR(found.details["wrong_at_most"].get<double>(), 0.1, 0.03);
  const Ranking ranking = rank(found, flipped);
  EXPECT_GE(ranking.precision, 0.8);
  EXPECT_GE(ranking.recall, 0.7);
}

TEST(LabelIssues, TooFewImagesAreSkipped) {
  EXPECT_EQ(inspected(label_issues(), healthy(400, 100)).verdict.outcome, Outcome::skip);
}

TEST(DoorProbe, LabelsOfOtherImagesFail) {
  data::Dataset data = healthy();
  std::rotate(data.train.labels.begin(), data.train.labels.begin() + 1, data.train.labels.end());
  const Found found = inspected(door_probe(), data);
  EXPECT_EQ(found.verdict.outcome, Outcome::fail) << text(found);
  EXPECT_TRUE(has_reason(found, "labels-at-chance")) << text(found);
  EXPECT_EQ(inspected(door_probe(), healthy()).verdict.outcome, Outcome::pass);
}

TEST(DoorProbe, ALabelWrittenIntoAPixelFails) {
  data::Dataset data = healthy();
  for (std::int64_t i = 0; i < data.train.n; ++i)
    image(&data.train, i)[0] =
        static_cast<std::uint8_t>(60 * data.train.labels[static_cast<std::size_t>(i)]);
  const Found found = inspected(door_probe(), data);
  EXPECT_TRUE(has_reason(found, "label-in-the-input")) << text(found);
}

// Trap: folders of classes come class by class.
TEST(DoorProbe, ASetInOrderOfItsClassesPasses) {
  data::Dataset data = healthy(4000, 300);
  std::vector<std::int64_t> order(4000);
  for (std::size_t i = 0; i < order.size(); ++i) order[i] = std::int64_t(i);
  std::stable_sort(order.begin(), order.end(), [&](std::int64_t a, std::int64_t b) {
    return data.train.labels[static_cast<std::size_t>(a)] <
           data.train.labels[static_cast<std::size_t>(b)];
  });
  data.train = data::select(data.train, order);
  const Found found = inspected(door_probe(), data);
  EXPECT_EQ(found.verdict.outcome, Outcome::pass) << text(found);
}

// Stripes along rows or columns, at any phase.
data::ImageSet stripes(std::int64_t n) {
  data::ImageSet set{.n = n, .h = 12, .w = 12, .c = 1, .classes = 2, .pixels = {}, .labels = {}};
  for (std::int64_t i = 0; i < n; ++i) {
    const RandomStream random(11, "stripes");
    const auto draw = [&](std::uint64_t k, std::uint64_t below) {
      return static_cast<int>(random.below(static_cast<std::uint64_t>(i), k, below));
    };
    const int label = draw(0, 2), phase = draw(1, 4);
    set.labels.push_back(label);
    for (int y = 0; y < 12; ++y)
      for (int x = 0; x < 12; ++x)
        set.pixels.push_back(
            static_cast<std::uint8_t>((((label == 0 ? y : x) + phase) % 4 < 2 ? 150 : 50) +
                                      draw(static_cast<unsigned>(2 + 12 * y + x), 50)));
  }
  return set;
}

TEST(Detail, TellsWhetherPositionMatters) {
  data::Dataset data = healthy();
  const Found where = inspected(detail(), data);
  EXPECT_EQ(where.verdict.outcome, Outcome::pass) << text(where);
  EXPECT_TRUE(where.details["position_matters"]) << text(where);
  data.train = stripes(1200);
  data.class_names = {"rows", "columns"};
  const Found what = inspected(detail(), data);
  EXPECT_EQ(what.verdict.outcome, Outcome::pass) << text(what);
  EXPECT_FALSE(what.details["position_matters"]) << text(what);
  // Stripes of two pixels are not there at half the resolution, spots of four are.
  EXPECT_NE(what.verdict.found.find("12x12 is not too much"), std::string::npos) << text(what);
  EXPECT_EQ(where.verdict.found.find("12x12 is not too much"), std::string::npos) << text(where);
  EXPECT_LT(what.details["values_alone"].get<double>(), 0.6);
}

TEST(Detail, CannotTellWithoutInformation) {
  data::Dataset data = healthy();
  flip_labels(&data.train, 0.75);  // what is left is chance
  const Found found = inspected(detail(), data);
  EXPECT_EQ(found.verdict.outcome, Outcome::inconclusive) << text(found);
}

TEST(Mispredictions, PlantedWrongLabelsHaveTheHighestLosses) {
  data::Dataset data = healthy(1000, 300);
  std::set<std::int64_t> planted;
  for (std::int64_t i = 0; i < 10; ++i) {
    const std::int64_t row = 25 * i + 3;
    planted.insert(row);
    std::int32_t& label = data.validation.labels[static_cast<std::size_t>(row)];
    label = (label + 1) % 4;
  }
  nn::Model model = nn::make_model({.name = "mlp", .h = 12, .w = 12, .c = 1, .classes = 4}, 1);
  skeleton::Trainer trainer(model, data, {.epochs = 3, .batch_size = 16, .learning_rate = 1e-3});
  trainer.run({});
  const Found found = mispredictions().run(
      {.data = data, .judged = {.model = &model, .statistics = trainer.statistics()}});
  EXPECT_EQ(found.verdict.outcome, Outcome::pass);
  int hits = 0;
  for (std::size_t i = 0; i < 20; ++i)
    hits += static_cast<int>(
        planted.count(found.details["highest_losses"][i]["index"].get<std::int64_t>()));
  EXPECT_GE(hits, 8) << text(found);
  EXPECT_EQ(inspected(mispredictions(), data).verdict.outcome, Outcome::skip);
}

TEST(FoldedFit, ScoresComeFromExamplesThatWereNotSeen) {
  // Labels that are random: whatever was learned by heart would show.
  data::ImageSet set = spots(600, "train");
  for (std::size_t i = 0; i < set.labels.size(); ++i)
    set.labels[i] = std::int32_t(RandomStream(2, "labels").below(0, i, 4));
  const FoldedFit fit(patch_features(set, {.filters = 32}));
  const auto own = margins(fit.scores(set.labels, 4), set.labels, 4);
  EXPECT_NEAR(accuracy(own), 0.25, 0.08);
}

TEST(FoldedFit, IsTheSolutionOfTheNormalEquations) {
  // y = x with one feature of deviation 1: the slope is shrunk by the penalty alone.
  std::vector<float> x;
  std::vector<std::int32_t> labels;
  for (int i = 0; i < 100; ++i) x.push_back(i % 2 == 0 ? 1.0f : -1.0f), labels.push_back(i % 2);
  const FoldedFit fit(Tensor::from(x, {100, 1}));
  const std::vector<float> scores = fit.scores(labels, 2);
  const float expected = 0.5f + 0.5f / 1.05f;
  EXPECT_NEAR(scores[0], expected, 1e-4);
  EXPECT_NEAR(scores[1], 1 - expected, 1e-4);
  EXPECT_NEAR(margins(scores, labels, 2)[1], 2 * expected - 1, 1e-4);
}

}  // namespace
}  // namespace cucina::inspect
