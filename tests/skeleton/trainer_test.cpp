// Promises of loaders, evaluation and training: whole splits, right errors, no trace, and steps as
// stated.
#include "recipe/skeleton/trainer.h"

#include <gtest/gtest.h>

#include <cmath>
#include <numeric>
#include <set>
#include <span>

#include "core/error.h"
#include "kernels/softmax_cross_entropy/softmax_cross_entropy.h"
#include "nn/init.h"
#include "recipe/skeleton/fingerprint.h"

namespace cucina::skeleton {
namespace {

// n images of 4x4 pixels in two channels, noise whose mean tells the class.
data::ImageSet noise(std::int64_t n, int classes, std::uint64_t seed) {
  data::ImageSet set{
      .n = n, .h = 4, .w = 4, .c = 2, .classes = classes, .pixels = {}, .labels = {}};
  const RandomStream random(seed, "test");
  for (std::int64_t i = 0; i < n; ++i) {
    const auto label = static_cast<std::int32_t>(i % classes);
    set.labels.push_back(label);
    for (std::uint64_t j = 0; j < 32; ++j) {
      const auto index = static_cast<std::uint64_t>(i) * 32 + j;
      set.pixels.push_back(static_cast<std::uint8_t>(random.below(0, index, 100) +
                                                     50 * static_cast<unsigned>(label)));
    }
  }
  return set;
}

data::Dataset dataset(std::int64_t train = 64) {
  return {.name = "noise",
          .class_names = {"a", "b", "c"},
          .train = noise(train, 3, 1),
          .validation = noise(30, 3, 2),
          .test = noise(31, 3, 3),
          .sha256 = ""};
}

nn::Model model_for(const data::Dataset& data, const std::string& name = "linear") {
  return nn::make_model(name, 4, 4, 2, data.train.classes, 1);
}

std::string error_of(const std::function<void()>& action) {
  try {
    action();
  } catch (const Error& error) {
    return error.what();
  }
  return "nothing was thrown";
}

TEST(Loader, StandardisesEveryChannelByItself) {
  data::ImageSet set{.n = 2,
                     .h = 1,
                     .w = 2,
                     .c = 2,
                     .classes = 3,
                     .pixels = {0, 7, 10, 7, 20, 7, 30, 7},
                     .labels = {2, 1}};
  const data::ChannelStats stats = data::standardisation(set);
  EXPECT_EQ(stats.mean, (std::vector<double>{15, 7}));
  EXPECT_EQ(stats.stddev[1], 1);  // a channel that never changes has nothing to scale
  const data::Loader loader(set, stats, 8, Device::cpu);
  EXPECT_EQ(loader.batches(), 1);
  const data::Batch batch = loader.gather(std::vector<std::int64_t>{1, 0});
  const float unit = static_cast<float>(1 / stats.stddev[0]);
  const std::vector<float> x = batch.images.to_vector<float>();
  EXPECT_EQ(batch.images.shape(), (Shape{2, 1, 2, 2}));
  const std::vector<float> expected{5 * unit, 0, 15 * unit, 0, -15 * unit, 0, -5 * unit, 0};
  for (std::size_t i = 0; i < expected.size(); ++i) EXPECT_NEAR(x[i], expected[i], 1e-6) << i;
  EXPECT_EQ(batch.labels.to_vector<std::int32_t>(), (std::vector<std::int32_t>{1, 2}));
  EXPECT_NE(error_of([&] { loader.gather(std::vector<std::int64_t>{2}); }).find("image 2"),
            std::string::npos);
  EXPECT_NE(error_of([&] { data::Loader(set, stats, 0, Device::cpu); }).find("batch size is 0"),
            std::string::npos);
}

// The GPU's batches come from the op, the cpu's from a table.
TEST(Loader, StandardisesToTheBitsOfTheOp) {
  data::ImageSet set = noise(5, 3, 1);
  const data::ChannelStats stats = data::standardisation(set);
  const data::Loader loader(set, stats, 8, Device::cpu);
  const data::Batch batch = loader.gather(std::vector<std::int64_t>{3, 0, 4});
  const Tensor images = augment({.images = Tensor::from(set.pixels, {5, 4, 4, 2}),
                                 .indices = Tensor::from(std::vector<std::int32_t>{3, 0, 4}, {3}),
                                 .mean = Tensor::from(stats.mean, {2}).to(DType::f32),
                                 .stddev = Tensor::from(stats.stddev, {2}).to(DType::f32)});
  EXPECT_EQ(batch.images.to_vector<float>(), images.to_vector<float>());
}

TEST(Loader, AugmentsByImageAndStepWhateverTheBatch) {
  data::ImageSet set = noise(5, 3, 1);
  data::Loader loader(set, data::standardisation(set), 8, Device::cpu);
  const Tensor step = Tensor::zeros({1}, DType::i32);
  const auto images = [&](const std::vector<std::int64_t>& indices) {
    return loader.gather(indices).images;
  };
  const auto plain = images({1}).to_vector<float>();
  const Augmentation how{.crop = 2, .flip = 0.5f, .cutout = 1};
  loader.augment(how, RandomStream(1, "augment"), step);
  const auto changed = images({1}).to_vector<float>();
  EXPECT_NE(changed, plain);
  EXPECT_EQ(images({3, 1}).rows(1, 2).to_vector<float>(), changed);
  EXPECT_EQ(loader.gather(std::vector<std::int64_t>{4, 2}).labels.to_vector<std::int32_t>(),
            (std::vector<std::int32_t>{1, 2}));
  step.fill(1);
  EXPECT_NE(images({1}).to_vector<float>(), changed);
  // A window that does not move: the same pixels, standardised by the same numbers.
  loader.augment({.crop = 1, .border = Border::zero}, RandomStream(1, "augment"), step);
  std::set<float> seen(plain.begin(), plain.end());
  int moved = 0;
  for (const float value : images({1}).to_vector<float>()) {
    const auto near = seen.lower_bound(value - 1e-5f);
    moved += near == seen.end() || *near > value + 1e-5f;
  }
  EXPECT_LE(moved, 14) << "at most a row and a column are from beyond the border";
  loader.augment({}, RandomStream(1, "augment"), step);
  EXPECT_EQ(images({1}).to_vector<float>(), plain);
  EXPECT_EQ(error_of([&] { loader.augment({.crop = 4}, RandomStream(1, "augment"), step); }),
            "augment: crop is 4 but must be from 0 to 3, less than a side of 4x4 images");
  EXPECT_NE(error_of([&] { images({5}); }).find("image 5"), std::string::npos);
}

TEST(Loader, EveryEpochVisitsEachImageOnceInAnotherOrder) {
  const std::vector<std::int64_t> first = data::epoch_order(1, 0, 100);
  EXPECT_EQ(std::set<std::int64_t>(first.begin(), first.end()).size(), 100u);
  EXPECT_EQ(data::epoch_order(1, 0, 100), first);
  EXPECT_NE(data::epoch_order(1, 1, 100), first);
  EXPECT_NE(data::epoch_order(2, 0, 100), first);
}

TEST(Evaluate, CountsEveryExampleOnceWhateverTheBatch) {
  const data::Dataset data = dataset();
  const nn::Model model = model_for(data);
  const data::ChannelStats stats = data::standardisation(data.train);
  // The definition: one example at a time, in f64.
  std::vector<double> losses;
  std::int64_t correct = 0;
  const data::Loader single(data.test, stats, 1, Device::cpu);
  for (std::int64_t i = 0; i < data.test.n; ++i) {
    const data::Batch batch = single.in_order(i);
    const auto outcome = softmax_cross_entropy(model(batch.images), batch.labels);
    losses.push_back(outcome.losses.to_vector<double>()[0]);
    correct += outcome.correct.to_vector<std::int32_t>()[0];
  }
  const double n = 31;
  const double mean = std::accumulate(losses.begin(), losses.end(), 0.0) / n;
  double squares = 0;
  for (const double loss : losses) squares += (loss - mean) * (loss - mean);
  for (const std::int64_t batch_size : {1, 7, 30, 31, 64}) {
    const Evaluation result =
        evaluate(model, data::Loader(data.test, stats, batch_size, Device::cpu));
    EXPECT_EQ(result.n, 31);
    EXPECT_EQ(result.correct, correct);
    // Losses of one example may differ by rounding with the batch's size, the sums do not.
    EXPECT_NEAR(result.loss, mean, 1e-6 * mean) << "batches of " << batch_size;
    EXPECT_NEAR(result.loss_error, std::sqrt(squares / (n - 1) / n), 1e-6);
    const double accuracy = static_cast<double>(correct) / n;
    EXPECT_DOUBLE_EQ(result.accuracy, accuracy);
    EXPECT_DOUBLE_EQ(result.accuracy_error, std::sqrt(accuracy * (1 - accuracy) / n));
    EXPECT_EQ(result.classes[0].n, 11);
    EXPECT_EQ(result.classes[1].n, 10);
    EXPECT_EQ(result.classes[0].correct + result.classes[1].correct + result.classes[2].correct,
              correct);
  }
}

TEST(Evaluate, LeavesNoTrace) {
  const data::Dataset data = dataset();
  nn::Model model =
      nn::make_model({.name = "bn_cnn", .h = 4, .w = 4, .c = 2, .classes = 3, .dropout = 0.5}, 1);
  Trainer trainer(model, data, {.epochs = 1, .batch_size = 16});
  const std::string before = fingerprint(*model.net);
  const Evaluation first = trainer.evaluate(data.test);
  EXPECT_EQ(fingerprint(*model.net), before);
  EXPECT_TRUE(model.net->training());
  EXPECT_EQ(trainer.evaluate(data.test).loss, first.loss);  // nothing is drawn while evaluating
  EXPECT_EQ(trainer.optimizer().steps().item(), 0);
}

TEST(Evaluate, RefusesDataOfAnotherSize) {
  const data::Dataset data = dataset();
  const nn::Model other = nn::make_model("linear", 4, 5, 2, 3, 1);
  const data::ChannelStats stats = data::standardisation(data.train);
  EXPECT_EQ(error_of([&] { evaluate(other, data::Loader(data.test, stats, 4, Device::cpu)); }),
            "evaluate: the data are 4x4x2 in 3 classes but model linear takes 4x5x2 in 3; give the "
            "data it was trained on");
}

TEST(Trainer, LearnsAndCountsItsSteps) {
  const data::Dataset data = dataset(64);
  nn::Model model = model_for(data);
  Trainer trainer(model, data, {.epochs = 5, .batch_size = 10, .learning_rate = 0.02});
  const double before = trainer.evaluate(data.test).loss;
  EXPECT_EQ(trainer.steps_per_epoch(), 7);  // 64 = 6 * 10 + 4
  const TrainResult result = trainer.run({});
  EXPECT_EQ(result.steps, 35);
  EXPECT_EQ(trainer.optimizer().steps().item(), 35);
  EXPECT_LT(trainer.evaluate(data.test).loss, before / 2);
  ASSERT_TRUE(result.validation.has_value());
  EXPECT_EQ(result.validation->n, 30);
}

TEST(Trainer, ThePriorHeadStartsAtTheEntropyOfTheLabels) {
  const data::Dataset data = dataset(65);  // 22, 22 and 21 images of the classes
  nn::Model model = model_for(data);
  nn::init_head(*model.head, data::class_counts(data.train));
  Trainer trainer(model, data, {});
  double entropy = 0;
  for (const double count : {22.0, 22.0, 21.0}) entropy -= count / 65 * std::log(count / 65);
  // Exact but for the rounding of f32 logarithms.
  EXPECT_NEAR(trainer.evaluate(data.train).loss, entropy, 1e-6 * entropy);
}

TEST(Trainer, WeightDecayShrinksWeightsAndNotBiases) {
  const data::Dataset data = dataset(16);
  for (const std::string optimizer : {"adam", "sgd"}) {
    nn::Model plain = model_for(data), decayed = model_for(data);
    for (const nn::Model& model : {plain, decayed}) model.head->bias().fill(0.5);
    TrainOptions options{
        .epochs = 1, .batch_size = 16, .optimizer = optimizer, .learning_rate = 0.01};
    Trainer(plain, data, options).run({});
    options.weight_decay = 0.1;
    Trainer(decayed, data, options).run({});
    EXPECT_EQ(plain.head->bias().to_vector<float>(), decayed.head->bias().to_vector<float>())
        << optimizer;
    const std::vector<float> initial = model_for(data).head->weight().to_vector<float>();
    const std::vector<float> a = plain.head->weight().to_vector<float>();
    const std::vector<float> b = decayed.head->weight().to_vector<float>();
    for (std::size_t i = 0; i < a.size(); ++i)  // one step: lr * decay * the weight less
      EXPECT_NEAR(a[i] - b[i], 0.001 * initial[i], 1e-7) << optimizer << " weight " << i;
  }
}

TEST(Trainer, NoStepIsLargerThanTheClippedGradientAllows) {
  const data::Dataset data = dataset(16);
  nn::Model model = model_for(data);
  const std::vector<float> before = model.head->weight().to_vector<float>();
  const std::vector<float> bias = model.head->bias().to_vector<float>();
  Trainer(
      model, data,
      {.epochs = 1, .batch_size = 16, .optimizer = "sgd", .learning_rate = 2, .clip_norm = 1e-3})
      .run({});
  double squares = 0;
  const auto add = [&](const std::vector<float>& a, const std::vector<float>& b) {
    for (std::size_t i = 0; i < a.size(); ++i) squares += std::pow(double{a[i]} - double{b[i]}, 2);
  };
  add(model.head->weight().to_vector<float>(), before);
  add(model.head->bias().to_vector<float>(), bias);
  EXPECT_NEAR(std::sqrt(squares), 2e-3, 1e-5);  // lr times the norm
}

TEST(Trainer, EvaluatesTheAverageAndTrainsOnWithTheRest) {
  const data::Dataset data = dataset(32);
  nn::Model plain = model_for(data), averaged = model_for(data);
  TrainOptions options{.epochs = 2, .batch_size = 16, .learning_rate = 0.1};
  Trainer(plain, data, options).run({});
  options.ema = 0.5;
  Trainer trainer(averaged, data, options);
  trainer.run({});
  EXPECT_EQ(fingerprint(*plain.net), fingerprint(*averaged.net));
  // Four steps with the decays 2/11, 3/12, 4/13 and 5/14 of the warm-up.
  std::vector<float> expected = model_for(data).head->weight().to_vector<float>();
  nn::Model again = model_for(data);
  Trainer stepwise(again, data, {.epochs = 2, .batch_size = 16, .learning_rate = 0.1});
  for (int step = 0; step < 4; ++step) {
    const data::Loader loader(data.train, stepwise.statistics(), 16, Device::cpu);
    const auto order = data::epoch_order(1, static_cast<std::uint32_t>(step / 2), 32);
    stepwise.step(loader.gather(std::span(order).subspan(step % 2 * 16, 16)));
    const double decay = (step + 2) / (step + 11.0);
    const std::vector<float> now = again.head->weight().to_vector<float>();
    for (std::size_t i = 0; i < now.size(); ++i)
      expected[i] = static_cast<float>(decay * expected[i] + (1 - decay) * now[i]);
  }
  {
    const Trainer::Averaged scope(trainer);
    const std::vector<float> average = averaged.head->weight().to_vector<float>();
    for (std::size_t i = 0; i < average.size(); ++i) EXPECT_NEAR(average[i], expected[i], 1e-6);
  }
  EXPECT_EQ(fingerprint(*plain.net), fingerprint(*averaged.net));
}

TEST(Trainer, MuonIsForHiddenLayers) {
  const data::Dataset data = dataset();
  nn::Model linear = model_for(data);
  EXPECT_NE(error_of([&] {
              Trainer(linear, data, {.optimizer = "muon"});
            }).find("1 weight matrices, and none to train between"),
            std::string::npos);
}

TEST(Trainer, RefusesWhatCannotBeTrained) {
  const data::Dataset data = dataset();
  nn::Model model = model_for(data);
  nn::Model other = nn::make_model("linear", 4, 4, 1, 3, 1);
  EXPECT_NE(error_of([&] { Trainer(model, data, {.epochs = 0}); }).find("0 epochs"),
            std::string::npos);
  EXPECT_NE(error_of([&] { Trainer(other, data, {}); }).find("takes 4x4x1"), std::string::npos);
  EXPECT_NE(error_of([&] { Trainer(model, data, {.optimizer = "lion"}); }).find("'lion'"),
            std::string::npos);
  EXPECT_NE(error_of([&] { Trainer(model, data, {.learning_rate = -1}); }).find("is -1"),
            std::string::npos);
}

}  // namespace
}  // namespace cucina::skeleton
