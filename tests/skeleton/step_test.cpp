// Promises of a training step's options: parts that add up to the whole, formats, averages, limits,
// and what a profile and the search for NaN say of it.
#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <fstream>
#include <limits>
#include <nlohmann/json.hpp>

#include "recipe/report/trace.h"
#include "recipe/skeleton/fingerprint.h"
#include "recipe/skeleton/trainer.h"
#include "tests/error_of.h"

namespace cucina::skeleton {
namespace {

using testing::error_of;

data::Dataset dataset(std::int64_t n) {
  data::Dataset data;
  data.name = "noise";
  data.train.n = n;
  data.train.h = data.train.w = 8;
  data.train.c = 1;
  data.train.classes = 3;
  const RandomStream random(1, "test");
  for (std::uint64_t i = 0; i < static_cast<std::uint64_t>(n) * 64; ++i)
    data.train.pixels.push_back(static_cast<std::uint8_t>(random.below(0, i, 256)));
  for (std::int64_t i = 0; i < n; ++i)
    data.train.labels.push_back(static_cast<std::int32_t>(i % 3));
  return data;
}

struct Trained {
  std::vector<double> losses, parameters, gradients;
};

Trained train(const std::string& name, const TrainOptions& options, int steps = 2,
              double dropout = 0) {
  const data::Dataset data = dataset(13);
  nn::Model model =
      nn::make_model({.name = name, .h = 8, .w = 8, .c = 1, .classes = 3, .dropout = dropout}, 1);
  Trainer trainer(model, data, options);
  const data::Loader loader(data.train, trainer.statistics(), 13, Device::cpu);
  Trained trained;
  for (int i = 0; i < steps; ++i)
    trained.losses = trainer.step(loader.in_order(0)).losses.to_vector<double>();
  trained.parameters = trainer.arena().values().to_vector<double>();
  trained.gradients = trainer.arena().gradients().to_vector<double>();
  return trained;
}

double distance(const std::vector<double>& a, const std::vector<double>& b) {
  double difference = 0, size = 0;
  for (std::size_t i = 0; i < b.size(); ++i) {
    difference += (a[i] - b[i]) * (a[i] - b[i]);
    size += b[i] * b[i];
  }
  return std::sqrt(difference / size);
}

TrainOptions sgd() { return {.batch_size = 13, .optimizer = "sgd", .learning_rate = 0.1}; }

TEST(Step, PartsAddUpToTheWholeBatch) {
  TrainOptions options = sgd();
  const Trained whole = train("lenet5", options);
  for (const std::int64_t parts : {2, 5, 13}) {  // 13 images: of unequal parts, too
    options.accumulate = parts;
    const Trained sum = train("lenet5", options);
    EXPECT_LE(distance(sum.gradients, whole.gradients), 1e-5) << parts;
    EXPECT_LE(distance(sum.parameters, whole.parameters), 1e-6) << parts;
    EXPECT_LE(distance(sum.losses, whole.losses), 1e-5) << parts;
  }
  options.accumulate = 14;
  EXPECT_EQ(error_of([&] { train("lenet5", options); }),
            "train: a step of 13 images in 14 parts; give 1 to 13");
}

// Were the masks of all parts those of the first, equal images in both would have equal losses.
TEST(Step, EachPartDrawsItsOwnDropout) {
  data::Dataset data = dataset(2);
  std::copy_n(data.train.pixels.begin(), 64, data.train.pixels.begin() + 64);
  data.train.labels = {1, 1};
  nn::Model model =
      nn::make_model({.name = "bn_cnn", .h = 8, .w = 8, .c = 1, .classes = 3, .dropout = 0.5}, 1);
  Trainer trainer(model, data, {.batch_size = 2, .accumulate = 2});
  const data::Loader loader(data.train, trainer.statistics(), 2, Device::cpu);
  const std::vector<float> losses = trainer.step(loader.in_order(0)).losses.to_vector<float>();
  EXPECT_NE(losses[0], losses[1]);
}

TEST(Step, Bf16TrainsParametersInF32) {
  for (const char* name : {"lenet5", "bn_cnn"}) {
    TrainOptions options = sgd();
    const Trained wide = train(name, options, 1);
    options.dtype = DType::bf16;
    const Trained narrow = train(name, options, 1);
    // bf16 keeps 8 bits; a gradient passes several roundings, and what cancels is less sure.
    EXPECT_LE(distance(narrow.gradients, wide.gradients), 0.1) << name;
    EXPECT_GT(distance(narrow.gradients, wide.gradients), 1e-5) << name << ": was it bf16?";
    EXPECT_LE(distance(narrow.losses, wide.losses), 0.02) << name;
    EXPECT_LE(distance(narrow.parameters, wide.parameters), 1e-2) << name;
  }
  TrainOptions options = sgd();
  options.dtype = DType::f64;
  EXPECT_EQ(error_of([&] { train("lenet5", options); }),
            "train: activations in f64; choose f32 or bf16");
}

TEST(Step, GradientsAreLimitedByValue) {
  TrainOptions options = sgd();
  options.clip_value = 1e-3;
  double largest = 0;
  for (const double each : train("lenet5", options, 1).gradients)
    largest = std::max(largest, std::fabs(each));
  EXPECT_FLOAT_EQ(static_cast<float>(largest), 1e-3f);
}

TEST(Step, TheMeanOfChosenStepsIsEvaluated) {
  const data::Dataset data = dataset(13);
  nn::Model model = nn::make_model("linear", 8, 8, 1, 3, 1);
  TrainOptions options = sgd();
  options.swa_start = 2;
  options.swa_every = 3;
  Trainer trainer(model, data, options);
  const data::Loader loader(data.train, trainer.statistics(), 13, Device::cpu);
  std::vector<double> sum;
  for (int step = 1; step <= 8; ++step) {
    trainer.step(loader.in_order(0));
    const std::vector<double> now = trainer.arena().values().to_vector<double>();
    if (step == 1) {
      const Trainer::Averaged averaged(trainer);
      EXPECT_EQ(trainer.arena().values().to_vector<double>(), now) << "there is no mean yet";
    }
    if (sum.empty()) sum.resize(now.size());
    for (std::size_t i = 0; i < now.size(); ++i) sum[i] += step % 3 == 2 ? now[i] / 3 : 0;
  }
  const Trainer::Averaged averaged(trainer);
  EXPECT_LE(distance(trainer.arena().values().to_vector<double>(), sum), 1e-6);
  options.ema = 0.9;
  EXPECT_NE(error_of([&] { Trainer(model, data, options); }).find("choose one"), std::string::npos);
}

TEST(Step, LookaheadGoesHalfOfTheWay) {
  TrainOptions options = sgd();
  const std::vector<double> start = train("linear", options, 0).parameters;
  const std::vector<double> fast = train("linear", options, 3).parameters;
  options.lookahead = 3;
  const std::vector<double> slow = train("linear", options, 3).parameters;
  std::vector<double> half(start.size());
  for (std::size_t i = 0; i < half.size(); ++i) half[i] = (start[i] + fast[i]) / 2;
  EXPECT_GT(distance(fast, start), 1e-3);
  EXPECT_LE(distance(slow, half), 1e-6);
}

TEST(Step, TheFirstNanIsNamed) {
  const data::Dataset data = dataset(13);
  nn::Model model = nn::make_model("lenet5", 8, 8, 1, 3, 1);
  TrainOptions options = sgd();
  options.detect_anomaly = true;
  Trainer trainer(model, data, options);
  const data::Loader loader(data.train, trainer.statistics(), 13, Device::cpu);
  const data::Batch batch = loader.in_order(0);
  trainer.step(batch);
  const Tensor weight = model.net->parameters()[2].tensor;
  weight.data<float>()[7] = std::nanf("");
  EXPECT_EQ(error_of([&] { trainer.step(batch); }),
            "conv2d: its conv2.weight (16, 5, 5, 6) is nan at element 7");
  weight.data<float>()[7] = std::numeric_limits<float>::max();
  const std::string overflow = error_of([&] { trainer.step(batch); });
  EXPECT_EQ(overflow.find("conv2d with conv2.weight, conv2.bias: its result (13, "), 0u)
      << overflow;
  batch.images.data<float>()[3] = std::numeric_limits<float>::infinity();
  EXPECT_EQ(error_of([&] { trainer.step(batch); }),
            "conv2d: its input 0 (13, 8, 8, 1) is inf at element 3");
}

TEST(Step, AProfileHasEachOpWithItsShapesAndCosts) {
  const std::filesystem::path file =
      std::filesystem::temp_directory_path() / "cucina_trace_test.json";
  const data::Dataset data = dataset(26);
  nn::Model model = nn::make_model("lenet5", 8, 8, 1, 3, 1);
  TrainOptions options = sgd();
  options.epochs = 2;
  Trainer trainer(model, data, options);
  report::Trace trace(file, 1, 2);  // the second and the third of four steps
  trainer.run({.trace = &trace});
  trace.write();
  std::ifstream in(file);
  const nlohmann::json events = nlohmann::json::parse(in).at("traceEvents");
  std::filesystem::remove(file);
  int steps = 0, convolutions = 0;
  double last_end = 0;
  for (const nlohmann::json& event : events) {
    EXPECT_GE(event.at("dur").get<double>(), 0);
    if (event["name"] == "step") ++steps;
    if (event["cat"] != "op") continue;
    EXPECT_GE(event["ts"].get<double>() + 1e-3, last_end) << "ops run one after the other";
    last_end = event["ts"].get<double>() + event["dur"].get<double>();
    const nlohmann::json& details = event["args"];
    if (details["output"] != "(13, 8, 8, 6)" || event["name"].get<std::string>().find("conv2d"))
      continue;
    ++convolutions;
    EXPECT_EQ(details["inputs"],
              (nlohmann::json{"(13, 8, 8, 1)", "(6, 5, 5, 1)", "(6)", "()", "()"}));
    // Of the image nobody wants a gradient, so that backward is one product, as forward is.
    EXPECT_EQ(details["flops"].get<double>(), 2.0 * 13 * 8 * 8 * 6 * 25);
    EXPECT_EQ(details["dtype"], "f32");
  }
  EXPECT_EQ(steps, 2);
  EXPECT_EQ(convolutions, 4);
  EXPECT_EQ(op_watcher(), nullptr) << "behind its steps nobody watches";
}

}  // namespace
}  // namespace cucina::skeleton
