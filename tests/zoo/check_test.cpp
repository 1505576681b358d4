// Promises of the frame: what runs, what is said of it, and that nothing remains.
#include "recipe/check/check.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "core/autograd.h"
#include "core/error.h"
#include "kernels/softmax_cross_entropy/softmax_cross_entropy.h"
#include "nn/init.h"
#include "nn/parameter_arena.h"
#include "recipe/check/declared_loss.h"
#include "recipe/check/people.h"
#include "recipe/check/results.h"
#include "recipe/check/special_case.h"
#include "recipe/check/trainer_task.h"
#include "recipe/skeleton/compare.h"
#include "recipe/skeleton/fingerprint.h"
#include "tests/error_of.h"
#include "tests/zoo/fixture.h"

namespace cucina::checks {
namespace {

using cucina::testing::error_of;

Check check_named(std::string_view name, std::function<Verdict(const Task&)> run) {
  return {name, "0: test", "what", std::move(run)};
}

TEST(Findings, TheWorstCountsAndASkippedPartHidesNothing) {
  Findings findings;
  findings.add(skipped("nothing there"));
  EXPECT_EQ(findings.verdict().outcome, Outcome::skip);
  findings.add({.outcome = Outcome::pass, .found = "fine"});
  EXPECT_EQ(findings.verdict().outcome, Outcome::pass);
  findings.add({.outcome = Outcome::warn, .reasons = {"a"}, .evidence = {"x"}});
  findings.add({.outcome = Outcome::fail, .reasons = {"b"}, .found = "bad"});
  const Verdict verdict = findings.verdict();
  EXPECT_EQ(verdict.outcome, Outcome::fail);
  EXPECT_EQ(verdict.found, "bad");
  EXPECT_EQ(verdict.reasons, (std::vector<std::string>{"b", "a"}));
  EXPECT_NE(std::find(verdict.evidence.begin(), verdict.evidence.end(), "x"),
            verdict.evidence.end());
}

TEST(RunCheck, RestoresParametersOptimiserRandomStateAndMode) {
  const zoo::Fixture fixture({.fixture = "regression"});
  const Task& task = fixture.task();
  task.model->train();
  const std::string before = Snapshot(task).fingerprint();
  bool changed = false;
  const Result result = run_check(check_named("spoils",
                                              [&](const Task& of) {
                                                for (const Loader* each : {&of.train})
                                                  (*each)(0, [&](const Batch& batch) {
                                                    of.step(batch);
                                                    return false;
                                                  });
                                                of.model->train(false);
                                                changed = Snapshot(of).fingerprint() != before;
                                                return Verdict{.outcome = Outcome::pass};
                                              }),
                                  task);
  EXPECT_TRUE(changed);
  EXPECT_EQ(result.verdict.outcome, Outcome::pass);
  EXPECT_EQ(Snapshot(task).fingerprint(), before);
}

TEST(RunCheck, ATaskThatThrowsFails) {
  const zoo::Fixture fixture({.fixture = "regression"});
  const Result result =
      run_check(check_named("throws", [](const Task&) -> Verdict { fail("the loader is empty"); }),
                fixture.task());
  EXPECT_EQ(result.verdict.outcome, Outcome::fail);
  EXPECT_NE(result.verdict.found.find("the loader is empty"), std::string::npos);
}

TEST(Select, OnlyAndSkipNameChecksThatExist) {
  EXPECT_EQ(select(all_checks(), {}).size(), all_checks().size());
  const auto one = select(all_checks(), {.only = {"step_audit"}});
  ASSERT_EQ(one.size(), 1u);
  EXPECT_EQ(one.front().name, "step_audit");
  EXPECT_EQ(select(all_checks(), {.skip = {"step_audit"}}).size(), all_checks().size() - 1);
  EXPECT_NE(error_of([] { select(all_checks(), {.only = {"step_aduit"}}); }).find("step_aduit"),
            std::string::npos);
}

TEST(DeclaredLoss, HasTheEssaysNumbers) {
  const Tensor even = Tensor::zeros({10, 10});
  std::vector<std::int32_t> each(10);
  for (int i = 0; i < 10; ++i) each[i] = i;
  const Tensor labels = Tensor::from(each, {10});
  EXPECT_NEAR(declared_loss({}, even, labels), 2.302585, 1e-6);
  EXPECT_NEAR(declared_loss({.sum = true}, even, labels), 23.02585, 1e-5);
  EXPECT_NEAR(constant_guess({}, labels, 10), 2.302585, 1e-6);
  EXPECT_NEAR(floor_of({.label_smoothing = 0.1}, 10), 0.5003, 1e-4);
  EXPECT_NEAR(double_softmax_floor(10), 1.4612, 1e-4);
  EXPECT_NEAR(double_softmax_floor(2), 0.3133, 1e-4);
  // One positive in eleven, predicted as such.
  std::vector<float> rare(11, 0.0f);
  rare[3] = 1;
  const Tensor targets = Tensor::from(rare, {11, 1});
  const DeclaredLoss bce{.kind = LossKind::binary_cross_entropy};
  EXPECT_NEAR(declared_loss(bce, Tensor::full({11, 1}, -2.302585), targets), 0.3046, 1e-4);
  EXPECT_NEAR(declared_loss(bce, Tensor::zeros({11, 1}), targets), 0.6931, 1e-4);
  EXPECT_NEAR(constant_guess(bce, targets, 0), 0.3046, 1e-4);
  const Tensor unit = Tensor::from(std::vector<float>{-1, 1}, {2, 1});
  EXPECT_NEAR(declared_loss({.kind = LossKind::mse}, Tensor::full({2, 1}, 50), unit), 2501, 1e-3);
}

TEST(People, KappaIsZeroByChanceAndOneForEquals) {
  const std::vector<std::int32_t> a{0, 0, 1, 1, 0, 1, 0, 1}, b{0, 1, 1, 0, 0, 1, 1, 0};
  EXPECT_EQ(agreement_of(a, a).kappa, 1);
  EXPECT_EQ(agreement_of(a, b).share, 0.5);
  EXPECT_EQ(agreement_of(a, b).kappa, 0);
  EXPECT_NE(error_of([&] { agreement_of(a, std::vector<std::int32_t>{1}); }).find("8 and 1"),
            std::string::npos);
}

TEST(Results, RowsHaveColourOnlyWhenAskedAndJsonHasNulls) {
  const Result result{"loss_at_init",
                      "4",
                      {.outcome = Outcome::fail,
                       .reasons = {"scaled"},
                       .found = "the loss",
                       .measured = 2,
                       .hint = "divide"}};
  EXPECT_EQ(table_row(result, false).find('\x1b'), std::string::npos);
  EXPECT_NE(table_row(result, true).find('\x1b'), std::string::npos);
  EXPECT_NE(table_row(result, false).find("do: divide"), std::string::npos);
  EXPECT_TRUE(to_json(result)["expected"].is_null());
  EXPECT_EQ(to_json(result)["reasons"][0], "scaled");
}

TEST(Compare, CountsPairsAndKnowsChance) {
  // 100 examples: 60 right in both, 12 in the first alone, 20 in the second alone, 8 in neither.
  std::vector<std::int32_t> first(100), second(100);
  for (int i = 0; i < 100; ++i) first[i] = i < 72, second[i] = i < 60 || (i >= 72 && i < 92);
  const skeleton::Comparison found = skeleton::compare(first, second);
  EXPECT_EQ(found.only_first, 12);
  EXPECT_EQ(found.only_second, 20);
  EXPECT_NEAR(found.difference, 0.08, 1e-12);
  EXPECT_NEAR(found.error, std::sqrt((0.32 - 0.0064) / 100), 1e-12);
  EXPECT_NEAR(found.p, 0.2153, 1e-4);  // 2 sum of C(32, k) / 2^32 over k <= 12
  EXPECT_EQ(skeleton::compare(first, first).p, 1);
  EXPECT_NE(error_of([&] { skeleton::compare(first, {}); }).find("100 and 0"), std::string::npos);
}

// Numbers in four heaps, of classes 1, 0, 1 and 0, and a network with so many hidden units.
class Heaps {
 public:
  explicit Heaps(double units) {
    const auto hidden = static_cast<std::int64_t>(units);
    net_->make<nn::Linear>("fc1", 1, hidden);
    net_->make<nn::ReLU>("relu");
    net_->make<nn::Linear>("fc2", hidden, 2);
    nn::initialise(*net_, 9, nn::initial_named("kaiming-normal"));
    arena_ = std::make_unique<nn::ParameterArena>(*net_);
    adam_ =
        std::make_unique<optim::Adam>(optim::Flat{.values = arena_->values(),
                                                  .gradients = arena_->gradients(),
                                                  .decayed = arena_->segments().front().weights_end,
                                                  .alignment = arena_->alignment()},
                                      optim::AdamOptions{.learning_rate = 1e-2});
    task_ = task_for(net_);
    task_.classes = 2;
    task_.loss = [](const Tensor& z, const Tensor& t) { return softmax_cross_entropy(z, t).loss; };
    task_.train = [](std::int64_t, const Visit& visit) {
      std::vector<float> x;
      std::vector<std::int32_t> labels;
      for (int i = 0; i < 16; ++i) {
        const int heap = i < 7 ? 0 : i < 14 ? 1 : i - 12;
        x.push_back(static_cast<float>(2 * heap - 3 + 0.05 * (i % 7)));
        labels.push_back(1 - heap % 2);
      }
      visit({Tensor::from(x, {16, 1}), Tensor::from(labels, {16})});
    };
    task_.step = [this](const Batch& batch) {
      arena_->clear_gradients();
      backward(task_.loss(task_.forward(batch.inputs), batch.targets));
      arena_->complete_gradients();
      adam_->step();
    };
    add_state(&task_, *adam_);
    task_.widened = [units](double width, std::uint64_t) {
      const auto wider = std::make_shared<Heaps>(units * width);
      return std::shared_ptr<Task>(wider, &wider->task_);
    };
  }
  Task& task() { return task_; }

 private:
  std::shared_ptr<nn::Sequential> net_ = std::make_shared<nn::Sequential>();
  std::unique_ptr<nn::ParameterArena> arena_;
  std::unique_ptr<optim::Adam> adam_;
  Task task_;
};

TEST(OverfitOneBatch, MakesASmallNetworkWiderBeforeItFails) {
  Heaps small(1);
  const Result wider = run_check(overfit_one_batch(), small.task());
  EXPECT_EQ(wider.verdict.outcome, Outcome::pass) << table_row(wider, false);
  EXPECT_NE(wider.verdict.found.find("times the width"), std::string::npos) << wider.verdict.found;
  small.task().widened = nullptr;
  const Result failed = run_check(overfit_one_batch(), small.task());
  EXPECT_EQ(failed.verdict.outcome, Outcome::fail) << table_row(failed, false);
}

data::ImageSet squares(std::int64_t n, std::uint64_t seed) {
  data::ImageSet set{.n = n, .h = 4, .w = 4, .c = 1, .classes = 2, .pixels = {}, .labels = {}};
  const RandomStream random(seed, "test");
  for (std::int64_t i = 0; i < n; ++i) {
    set.labels.push_back(static_cast<std::int32_t>(i % 2));
    for (std::uint64_t j = 0; j < 16; ++j)
      set.pixels.push_back(
          static_cast<std::uint8_t>(random.below(0, 16 * i + j, 100) + 100 * (i % 2)));
  }
  return set;
}

data::Dataset squares() {
  return {.name = "squares",
          .class_names = {"dark", "bright"},
          .train = squares(64, 1),
          .validation = squares(24, 2),
          .test = squares(2, 3),
          .sha256 = ""};
}

// An optimiser that is made of several counts its steps in each.
TEST(TrainerTask, EveryOptimiserIsBroughtBack) {
  const data::Dataset data = squares();
  for (const char* optimizer : {"adam", "sgd", "muon"}) {
    nn::Model model = nn::make_model({.name = "lenet5", .h = 4, .w = 4, .c = 1, .classes = 2}, 1);
    const skeleton::TrainOptions options{.optimizer = optimizer, .learning_rate = 1e-2};
    skeleton::Trainer trainer(model, data, options);
    const Result result = run_check(fix_random_seed(), task_of(trainer, model, data, options));
    EXPECT_EQ(result.verdict.outcome, Outcome::pass)
        << optimizer << ": " << table_row(result, false);
  }
}

TEST(TrainerTask, ATrainingWithChecksEndsWithTheBitsOfOneWithout) {
  const data::Dataset data = squares();
  const auto trained = [&](bool checked) {
    nn::Model model =
        nn::make_model({.name = "bn_cnn", .h = 4, .w = 4, .c = 1, .classes = 2, .dropout = 0.3}, 1);
    const skeleton::TrainOptions options{.learning_rate = 1e-2,
                                         .ema = 0.9,
                                         .schedule = {.kind = optim::ScheduleKind::cosine},
                                         .augmentation = {.crop = 1}};
    skeleton::Trainer trainer(model, data, options);
    // Long ones are left out: they change no more than these.
    if (checked)
      run_checks(select(all_checks(), {.skip = {"overfit_one_batch", "input_independent"}}),
                 task_of(trainer, model, data, options));
    trainer.run({});
    return skeleton::fingerprint(*model.net);
  };
  EXPECT_EQ(trained(true), trained(false));
}

// The sum of each row of (rows, columns), in tiles of four columns; `ragged` forgets what is left.
std::vector<double> row_sums(const std::vector<std::int64_t>& sizes, const std::vector<float>& x,
                             bool ragged) {
  std::vector<double> sums;
  for (std::int64_t r = 0; r < sizes[0]; ++r) {
    double sum = 0;
    const std::int64_t columns = ragged ? sizes[1] / 4 * 4 : sizes[1];
    for (std::int64_t c = 0; c < columns; ++c) sum += x[r * sizes[1] + c];
    sums.push_back(sum);
  }
  return sums;
}

TEST(Differential, FindsTheSmallestCaseThatDiffersAndNothingWhereNoneDoes) {
  const MakeInput make = [](const std::vector<std::int64_t>& sizes, const RandomStream& random) {
    std::vector<float> x(static_cast<std::size_t>(sizes[0] * sizes[1]));
    for (std::size_t i = 0; i < x.size(); ++i) x[i] = random.normal(0, i);
    return x;
  };
  const auto sums = [](bool ragged) {
    return [ragged](const std::vector<std::int64_t>& sizes, const std::vector<float>& x) {
      return row_sums(sizes, x, ragged);
    };
  };
  EXPECT_FALSE(differential(sums(false), sums(false), make, {1, 1}, {9, 33}));
  const auto found = differential(sums(true), sums(false), make, {1, 1}, {9, 33});
  ASSERT_TRUE(found);
  EXPECT_EQ(found->sizes, (std::vector<std::int64_t>{1, 1})) << found->text();
  EXPECT_EQ(found->fast, 0);
}

}  // namespace
}  // namespace cucina::checks
