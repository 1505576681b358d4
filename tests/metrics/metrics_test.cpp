// The metrics' promises: ties, NaN, counts, and what is refused.
#include "kernels/metrics/metrics.h"

#include <gtest/gtest.h>

#include <limits>

#include "tests/error_of.h"

namespace cucina {
namespace {

using testing::error_of;

constexpr float kInf = std::numeric_limits<float>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

using Numbers = std::vector<std::int32_t>;

Tensor numbers(const Numbers& values) {
  return Tensor::from(values, {static_cast<std::int64_t>(values.size())});
}

// Short rows, and rows wider than a warp and a block; the classes beyond those a test names are at
// -Inf: they come last.
class MetricsRows : public ::testing::TestWithParam<std::tuple<Backend, int>> {
 protected:
  Tensor logits_of(const std::vector<std::vector<float>>& rows) const {
    const auto width = static_cast<std::size_t>(classes());
    std::vector<float> values;
    for (const auto& row : rows) {
      values.insert(values.end(), row.begin(), row.end());
      values.resize(values.size() + width - row.size(), -kInf);
    }
    return Tensor::from(values, {static_cast<std::int64_t>(rows.size()), classes()});
  }
  static int classes() { return std::get<1>(GetParam()); }

 private:
  const ScopedBackend backend_{std::get<0>(GetParam())};
};
INSTANTIATE_TEST_SUITE_P(, MetricsRows,
                         ::testing::Combine(::testing::Values(Backend::reference, Backend::hand),
                                            ::testing::Values(4, 100, 3000)));

TEST_P(MetricsRows, TheAnswerIsTheFirstOfTheLargest) {
  const Tensor logits =
      logits_of({{1, 3, 2}, {0, 5, 5, 5}, {2, 2, 2, 2}, {-kInf}, {-kInf, -9}, {0, kInf, 1, kInf}});
  EXPECT_EQ(argmax(logits).to_vector<std::int32_t>(), (Numbers{1, 1, 0, 0, 1, 1}));
}

TEST_P(MetricsRows, AnswersAreFoundWhereverTheyAre) {
  std::vector<std::vector<float>> rows;
  Numbers wanted;
  for (int at = 0; at < classes(); at += classes() < 10 ? 1 : 37) {
    std::vector<float> row(static_cast<std::size_t>(classes()), 1.0f);
    row[static_cast<std::size_t>(at)] = 2;
    row.back() = 2;
    rows.push_back(row);
    wanted.push_back(at);
  }
  EXPECT_EQ(argmax(logits_of(rows)).to_vector<std::int32_t>(), wanted);
}

TEST_P(MetricsRows, TheFirstNanIsLargerThanAnyNumber) {
  const Tensor logits = logits_of({{1, kNan, kNan}, {kNan, 9}, {kInf, 1, 2, kNan}});
  EXPECT_EQ(argmax(logits).to_vector<std::int32_t>(), (Numbers{1, 0, 3}));
}

TEST_P(MetricsRows, RanksCountTheClassesBeforeTheLabel) {
  const std::vector<float> row{3, 7, 3, 5};
  const Tensor logits = logits_of({row, row, row, row, {kNan, 1}});
  // 7, 5, then the first 3, then the other.
  EXPECT_EQ(label_ranks(logits, numbers({0, 1, 2, 3, 1})).to_vector<std::int32_t>(),
            (Numbers{2, 0, 3, 1, classes()}));
}

TEST_P(MetricsRows, TopKCountsLabelsAmongTheFirst) {
  const std::vector<float> row{3, 7, 3, 5};
  const Tensor logits = logits_of({row, row, row, row, {kNan, 1}});
  const Tensor labels = numbers({0, 1, 2, 3, 1});
  for (int k = 1; k <= 4; ++k) EXPECT_EQ(top_k_correct(logits, labels, k).item(), k) << k;
  EXPECT_EQ(top_k_correct(logits, labels, classes()).item(), 4);  // NaN has no order
}

TEST_P(MetricsRows, ALabelThatIsNoClassIsLastWhereNobodyLooked) {
  const Tensor logits = logits_of({{1}, {1}}), ranks = Tensor::zeros({2}, DType::i32);
  choose(&MetricsOp::label_ranks, logits)(logits, numbers({-1, classes()}), ranks);
  EXPECT_EQ(ranks.to_vector<std::int32_t>(), (Numbers{classes(), classes()}));
}

TEST(Metrics, ConfusionAddsToItsCounts) {
  for (const Backend backend : {Backend::reference, Backend::hand}) {
    const ScopedBackend scoped(backend);
    const Tensor counts = Tensor::from<std::int32_t>({10, 0, 0, 0, 0, 0, 0, 0, 0}, {3, 3});
    count_confusion(numbers({0, 1, 1, 1, 2}), numbers({0, 2, 2, 1, 0}), counts);
    EXPECT_EQ(counts.to_vector<std::int32_t>(), (Numbers{11, 0, 0, 0, 1, 2, 1, 0, 0}));
    count_confusion(numbers({}), numbers({}), counts);
    EXPECT_EQ(counts.to_vector<std::int32_t>(), (Numbers{11, 0, 0, 0, 1, 2, 1, 0, 0}));
  }
}

TEST(Metrics, ManyExamplesOfOneCellAreAllCounted) {
  const ScopedBackend hand(Backend::hand);
  const Tensor counts = Tensor::zeros({2, 2}, DType::i32);
  const Tensor ones = numbers(Numbers(100000, 1));
  count_confusion(ones, ones, counts);
  EXPECT_EQ(counts.to_vector<std::int32_t>(), (Numbers{0, 0, 0, 100000}));
}

TEST(Metrics, NoExamplesGiveNoAnswersAndACountOf0) {
  const Tensor logits = Tensor::zeros({0, 3});
  EXPECT_EQ(argmax(logits).shape(), Shape{0});
  EXPECT_EQ(top_k_correct(logits, numbers({}), 2).item(), 0);
}

TEST(Metrics, RefuseBadArgumentsInASentence) {
  const Tensor logits = Tensor::zeros({2, 3}), labels = numbers({0, 1});
  EXPECT_EQ(error_of([&] { argmax(Tensor::zeros({3})); }),
            "argmax: logits is f32 (3) on cpu but must be (n, classes), with classes at least 1");
  EXPECT_EQ(error_of([&] {
              argmax(Tensor::zeros({3, 0}));
            }),
            "argmax: logits is f32 (3, 0) on cpu but must be (n, classes), with classes at least "
            "1");
  EXPECT_EQ(error_of([&] { label_ranks(logits, numbers({0})); }),
            "label_ranks: labels has 1 rows but logits has 2");
  EXPECT_EQ(error_of([&] {
              top_k_correct(logits, numbers({0, 3}), 1);
            }),
            "top_k_correct: row 1 has label 3 but logits has 3 classes: 0 to 2");
  for (const int k : {0, 4}) {
    EXPECT_EQ(
        error_of([&] { top_k_correct(logits, labels, k); }),
        fmt::format("top_k_correct: k is {} but must be in [1, 3], the classes of logits", k));
  }
  const Tensor counts = Tensor::zeros({3, 3}, DType::i32);
  EXPECT_EQ(error_of([&] {
              count_confusion(labels, labels, Tensor::zeros({3, 3}));
            }),
            "count_confusion: counts is f32 (3, 3) on cpu but must be i32 (classes, classes)");
  EXPECT_EQ(error_of([&] { count_confusion(labels, Tensor::zeros({2}), counts); }),
            "count_confusion: predicted is f32 (2) on cpu but must be i32 (n) on cpu, as counts");
  EXPECT_EQ(error_of([&] { count_confusion(labels, numbers({0}), counts); }),
            "count_confusion: labels has 2 elements but predicted has 1");
  EXPECT_EQ(error_of([&] {
              count_confusion(labels, numbers({0, 3}), counts);
            }),
            "count_confusion: predicted[1] is 3 but counts has 3 classes: 0 to 2");
}

}  // namespace
}  // namespace cucina
