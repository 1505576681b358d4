// Promises of training from the command line: what it learns, what it leaves behind, the same bits
// on any number of threads, and a clean end on a signal.
#include <map>
#include <nlohmann/json.hpp>

#include "tests/cli/program.h"

namespace cucina::cli {
namespace {

using Json = nlohmann::json;

Arguments train(const Arguments& more) {
  Arguments all{"train", "--data", "data", "--device", "cpu", "--out", "run"};
  all.insert(all.end(), more.begin(), more.end());
  return all;
}

std::vector<Json> lines(const std::string& text) {
  std::vector<Json> all;
  std::size_t begin = 0;
  for (std::size_t end; (end = text.find('\n', begin)) != std::string::npos; begin = end + 1)
    all.push_back(Json::parse(text.substr(begin, end - begin)));
  return all;
}

class Models : public testing::TestWithParam<std::string> {};

TEST_P(Models, LearnsAndEvaluatesTheSame) {
  const Folder folder;
  write_spots(folder / "data", 600, 100);
  const Outcome outcome = run(folder, train({"--model", GetParam(), "--epochs", "6", "--batch-size",
                                             "16", "--lr", "3e-3", "--json"}));
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  const std::vector<Json> result = lines(outcome.out);
  ASSERT_EQ(result.size(), 1u) << outcome.out;
  EXPECT_GE(result[0]["test_accuracy"].get<double>(), 0.95) << outcome.out;
  EXPECT_EQ(result[0]["test_images"], 100);
  // 550 images are left when 1/12 became validation: 35 steps an epoch.
  EXPECT_EQ(result[0]["steps"], 6 * 35);
  EXPECT_GT(result[0]["seconds"].get<double>(), 0);
  EXPECT_EQ(result[0]["params_sha256"].get<std::string>().size(), 64u);

  const std::string config = text_of(folder / "run" / "config.toml");
  for (const char* part : {"seed = 1", "batch_size = 16", "learning_rate = 0.003",
                           "optimizer = \"adam\"", "device = \"cpu\"", "train_images = 550"})
    EXPECT_NE(config.find(part), std::string::npos) << part << " in\n" << config;
  const std::vector<Json> metrics = lines(text_of(folder / "run" / "metrics.jsonl"));
  EXPECT_EQ(metrics.back()["split"], "test");
  EXPECT_EQ(metrics.back()["acc"], result[0]["test_accuracy"]);
  EXPECT_EQ(std::count_if(metrics.begin(), metrics.end(),
                          [](const Json& line) { return line["split"] == "val"; }),
            6);
  EXPECT_TRUE(std::filesystem::exists(folder / "run" / "best.safetensors"));

  const Outcome again = run(folder, {"eval", "--model-dir", "run", "--data", "data", "--split",
                                     "test", "--device", "cpu", "--json"});
  ASSERT_EQ(again.code, 0) << again.err;
  const Json measured = lines(again.out).at(0);
  EXPECT_EQ(measured["accuracy"], result[0]["test_accuracy"]);
  EXPECT_EQ(measured["loss"], result[0]["test_loss"]);
  EXPECT_EQ(measured["loss_error"], result[0]["test_loss_error"]);
  EXPECT_EQ(measured["params_sha256"], result[0]["params_sha256"]);
  EXPECT_EQ(measured["classes"].size(), 10u);
  EXPECT_EQ(measured["classes"][3]["n"], 10);
}

INSTANTIATE_TEST_SUITE_P(Train, Models, testing::Values("lenet5", "bn_cnn", "mlp", "linear"),
                         [](const auto& info) { return info.param; });

TEST(Train, EveryOptimizerLearns) {
  const Folder folder;
  write_spots(folder / "data", 600, 100);
  for (const Arguments& how : {Arguments{"--optimizer", "muon", "--lr", "0.02", "--ema", "0.9"},
                               Arguments{"--optimizer", "sgd", "--lr", "0.1", "--momentum", "0.9",
                                         "--nesterov", "--clip-norm", "1"}}) {
    Arguments all = train(
        {"--model", "lenet5", "--epochs", "3", "--batch-size", "16", "--json", "--overwrite"});
    all.insert(all.end(), how.begin(), how.end());
    const Outcome outcome = run(folder, all);
    ASSERT_EQ(outcome.code, 0) << outcome.err;
    EXPECT_GE(lines(outcome.out).at(0)["test_accuracy"].get<double>(), 0.9) << outcome.out;
    EXPECT_NE(outcome.err.find(how[1] + ", lr"), std::string::npos) << outcome.err;
  }
}

TEST(Train, LearnsInBf16InPartsAndWithAveragesOfWeights) {
  const Folder folder;
  write_spots(folder / "data", 600, 100);
  for (const Arguments& how :
       {Arguments{"--dtype", "bf16"},
        Arguments{"--accumulate", "4", "--no-fusion", "--clip-value", "0.5"},
        Arguments{"--swa-start", "50", "--swa-every", "5", "--lookahead", "5"}}) {
    Arguments all = train({"--model", "lenet5", "--epochs", "3", "--batch-size", "16", "--lr",
                           "3e-3", "--json", "--overwrite"});
    all.insert(all.end(), how.begin(), how.end());
    const Outcome outcome = run(folder, all);
    ASSERT_EQ(outcome.code, 0) << outcome.err;
    EXPECT_GE(lines(outcome.out).at(0)["test_accuracy"].get<double>(), 0.9)
        << how[0] << ": " << outcome.out;
  }
}

TEST(Train, WritesAProfileAndNamesTheFirstNan) {
  const Folder folder;
  write_spots(folder / "data", 600, 100);
  Arguments all = train({"--model", "lenet5", "--epochs", "1", "--batch-size", "16", "--profile",
                         "profile.json", "--quiet"});
  Outcome outcome = run(folder, all);
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  const Json events = Json::parse(text_of(folder / "profile.json")).at("traceEvents");
  std::map<std::string, int> counts;
  for (const Json& event : events) ++counts[event["name"]];
  EXPECT_EQ(counts["step"], 20);
  EXPECT_EQ(counts["conv2d.forward"], 2 * 20);
  EXPECT_EQ(counts["linear.backward"], 3 * 20);

  all = train({"--model", "lenet5", "--epochs", "1", "--batch-size", "16", "--optimizer", "sgd",
               "--lr", "1e30", "--detect-anomaly", "--overwrite", "--quiet"});
  outcome = run(folder, all);
  EXPECT_EQ(outcome.code, 5) << outcome.err;
  EXPECT_NE(outcome.err.find(" is "), std::string::npos) << outcome.err;
  EXPECT_NE(outcome.err.find("at element"), std::string::npos) << outcome.err;
}

std::string fingerprint(const Folder& folder, const Arguments& more, const Variables& variables) {
  const Outcome outcome = run(folder, train(more), variables);
  EXPECT_EQ(outcome.code, 0) << outcome.err;
  return outcome.code == 0 ? lines(outcome.out).at(0)["params_sha256"].get<std::string>() : "";
}

TEST(Train, TheSameSeedGivesTheSameBitsOnAnyNumberOfThreads) {
  const Folder folder;
  write_spots(folder / "data", 300, 20);
  for (const auto& [model, dropout] :
       {std::pair{"lenet5", "0"}, std::pair{"bn_cnn", "0.2"}, std::pair{"mlp", "0"}}) {
    const Arguments arguments{"--model", model,       "--dropout", dropout,  "--epochs",
                              "2",       "--backend", "hand",      "--json", "--overwrite"};
    const std::string one = fingerprint(folder, arguments, {{"OMP_NUM_THREADS", "1"}});
    EXPECT_EQ(fingerprint(folder, arguments, {{"OMP_NUM_THREADS", "2"}}), one) << model;
    EXPECT_EQ(fingerprint(folder, arguments, {{"OMP_NUM_THREADS", "3"}}), one) << model;
    Arguments other = arguments;
    other.insert(other.end(), {"--seed", "2"});
    EXPECT_NE(fingerprint(folder, other, {}), one) << model;
  }
}

TEST(Train, AugmentationIsRepeatableAndWrittenDown) {
  const Folder folder;
  write_spots(folder / "data", 300, 20);
  const Arguments plain{"--model",   "linear", "--epochs", "2",
                        "--backend", "hand",   "--json",   "--overwrite"};
  Arguments augmented = plain;
  augmented.insert(
      augmented.end(),
      {"--augment", "crop,flip=0.25,rotate,cutout=3,border=zero,contrast,mixup,cutmix=0.5"});
  const std::string without = fingerprint(folder, plain, {});
  EXPECT_EQ(text_of(folder / "run" / "config.toml").find("[augment]"), std::string::npos);
  const std::string one = fingerprint(folder, augmented, {{"OMP_NUM_THREADS", "1"}});
  EXPECT_NE(one, without);
  EXPECT_EQ(fingerprint(folder, augmented, {{"OMP_NUM_THREADS", "3"}}), one);
  const std::string config = text_of(folder / "run" / "config.toml");
  EXPECT_NE(config.find("\n[augment]\n"
                        "crop = 1\nflip = 0.25\nrotate = 15.0\ncontrast = 0.2\ncutout = 3\n"
                        "border = \"zero\"\nmixup = 0.2\ncutmix = 0.5\n"),
            std::string::npos)
      << config;
}

TEST(Train, ALastBatchOfOneImageIsLeftOutUnderBatchNormOnly) {
  const Folder folder;
  write_spots(folder / "data", 108, 20);  // 99 are left to train on: 7 batches of 14, and 1 image
  for (const auto& [model, steps] : {std::pair{"bn_cnn", 7}, std::pair{"linear", 8}}) {
    const Outcome outcome = run(folder, train({"--model", model, "--epochs", "1", "--batch-size",
                                               "14", "--json", "--overwrite"}));
    ASSERT_EQ(outcome.code, 0) << outcome.err;
    EXPECT_EQ(lines(outcome.out).at(0)["steps"], steps) << model;
  }
}

TEST(Train, ADivergingLossEndsWithTheStepAndCode5) {
  const Folder folder;
  write_spots(folder / "data", 300, 20);
  const Outcome outcome = run(folder, train({"--model", "linear", "--optimizer", "sgd", "--lr",
                                             "1e38", "--epochs", "3", "--quiet"}));
  ASSERT_EQ(outcome.code, 5) << outcome.err;
  EXPECT_EQ(outcome.out, "");
  EXPECT_NE(outcome.err.find("at step "), std::string::npos) << outcome.err;
  EXPECT_EQ(std::count(outcome.err.begin(), outcome.err.end(), '\n'), 1) << outcome.err;
  EXPECT_FALSE(std::filesystem::exists(folder / "run" / "model.safetensors"));
  const Json last = lines(text_of(folder / "run" / "metrics.jsonl")).back();
  EXPECT_TRUE(last["loss"].is_null());
  EXPECT_EQ(last["nonfinite"][0], "loss");
}

class Signals : public testing::TestWithParam<int> {};

TEST_P(Signals, StopBetweenStepsAndKeepTheWeights) {
  const Folder folder;
  write_spots(folder / "data", 600, 20);
  Program program(folder, train({"--model", "linear", "--epochs", "1000000"}));
  ASSERT_TRUE(program.wait_for("run/metrics.jsonl"));
  program.signal(GetParam());
  const Outcome outcome = program.finish();
  EXPECT_EQ(outcome.code, 128 + GetParam()) << outcome.err;
  EXPECT_EQ(outcome.out, "");
  EXPECT_NE(outcome.err.find("stopped by signal"), std::string::npos) << outcome.err;
  const Outcome eval =
      run(folder, {"eval", "--model-dir", "run", "--data", "data", "--split", "test"});
  EXPECT_EQ(eval.code, 0) << eval.err;
}

INSTANTIATE_TEST_SUITE_P(Train, Signals, testing::Values(SIGINT, SIGTERM),
                         [](const auto& info) { return info.param == SIGINT ? "int" : "term"; });

TEST(Train, OverwriteReplacesTheRunAndNothingElse) {
  const Folder folder;
  write_spots(folder / "data", 120, 20);
  const Arguments arguments{"--model", "linear", "--epochs", "1", "--quiet"};
  ASSERT_EQ(run(folder, train(arguments)).code, 0);
  data::write(folder / "run" / "notes.txt", {'x'});
  Arguments other = arguments;
  other.insert(other.end(), {"--overwrite", "--seed", "5"});
  const Outcome outcome = run(folder, train(other));
  EXPECT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_EQ(outcome.err, "");  // --quiet
  EXPECT_TRUE(std::filesystem::exists(folder / "run" / "notes.txt"));
  EXPECT_NE(text_of(folder / "run" / "config.toml").find("seed = 5"), std::string::npos);
}

TEST(Train, WithoutOutTheFolderIsNamedAfterTimeModelAndSeed) {
  const Folder folder;
  write_spots(folder / "data", 120, 20);
  const Outcome outcome =
      run(folder, {"train", "--data", "data", "--model", "linear", "--epochs", "1", "--seed", "9"});
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  const auto runs = std::filesystem::directory_iterator(folder / "runs");
  const std::string name = runs->path().filename().string();
  EXPECT_TRUE(name.ends_with("Z-linear-9")) << name;
  EXPECT_TRUE(std::filesystem::exists(runs->path() / "model.safetensors"));
}

TEST(Train, PlainProgressHasNoEscapesAndALinePerEpoch) {
  const Folder folder;
  write_spots(folder / "data", 120, 20);
  const Outcome outcome = run(folder, train({"--model", "linear", "--epochs", "3"}));
  EXPECT_EQ(outcome.err.find_first_of("\r\x1b"), std::string::npos) << outcome.err;
  for (const char* part : {"epoch 1/3", "epoch 2/3", "epoch 3/3", "val loss"})
    EXPECT_NE(outcome.err.find(part), std::string::npos) << part << " in " << outcome.err;
  EXPECT_NE(outcome.out.find("test accuracy"), std::string::npos) << outcome.out;
}

TEST(Cli, HelpVersionModelsAndDoctorAnswerOnStdout) {
  const Folder folder;
  EXPECT_EQ(run(folder, {"--version"}).out.rfind("cucina ", 0), 0u);
  for (const Arguments& arguments :
       {Arguments{"--help"}, Arguments{"train", "--help"}, Arguments{"eval", "--help"},
        Arguments{"models"}, Arguments{"models", "lenet5"}, Arguments{"doctor"}}) {
    const Outcome outcome = run(folder, arguments);
    EXPECT_EQ(outcome.code, 0) << outcome.err;
    EXPECT_EQ(outcome.err, "");
    EXPECT_GT(outcome.out.size(), 100u) << outcome.out;
  }
  const Json models = Json::parse(run(folder, {"models", "--json"}).out);
  EXPECT_EQ(models[0]["parameters"], 61706);
  const Json doctor = Json::parse(run(folder, {"doctor", "--json"}).out);
  const Json& backends = doctor["ops"]["conv2d"]["cpu"];
  EXPECT_NE(std::find(backends.begin(), backends.end(), "hand"), backends.end()) << backends;
  EXPECT_TRUE(doctor.contains("onednn"));
  EXPECT_TRUE(doctor["ops"].contains("adam"));
}

}  // namespace
}  // namespace cucina::cli
