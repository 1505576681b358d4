// Promises of --config: a run's config.toml repeats it and is what check judges; options beside it
// come first; and a file with anything else is refused with its line.
#include <fmt/core.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "tests/cli/program.h"

namespace cucina::cli {
namespace {

using Json = nlohmann::json;

// A run of a few steps, none of whose settings is the default.
const Arguments kUnusual{"train",
                         "--data",
                         "data",
                         "--model",
                         "bn_cnn",
                         "--out",
                         "run",
                         "--json",
                         "--quiet",
                         "--device",
                         "cpu",
                         "--backend",
                         "hand",
                         "--epochs",
                         "2",
                         "--batch-size",
                         "16",
                         "--lr",
                         "0.02",
                         "--optimizer",
                         "sgd",
                         "--momentum",
                         "0.9",
                         "--nesterov",
                         "--weight-decay",
                         "0.01",
                         "--clip-norm",
                         "5",
                         "--clip-value",
                         "1",
                         "--accumulate",
                         "2",
                         "--ema",
                         "0.5",
                         "--lookahead",
                         "3",
                         "--schedule",
                         "cosine",
                         "--warmup-steps",
                         "2",
                         "--final-lr-ratio",
                         "0.1",
                         "--seed",
                         "7",
                         "--init",
                         "orthogonal",
                         "--head",
                         "prior",
                         "--freeze",
                         "conv1",
                         "--group",
                         "*.bias:lr=2",
                         "--group",
                         "fc:lr=0.5,decay=0",
                         "--augment",
                         "crop=1,flip,border=zero,mixup=0.3",
                         "--dropout",
                         "0.1",
                         "--no-fusion",
                         "--dtype",
                         "bf16"};

Folder& folder() {
  static Folder made;
  static const bool ready = [] {
    write_spots(made / "data", 64, 16);
    const Outcome outcome = run(made, kUnusual);
    EXPECT_EQ(outcome.code, 0) << outcome.err;
    data::write(made / "result.json", Bytes(outcome.out.begin(), outcome.out.end()));
    return true;
  }();
  (void)ready;
  return made;
}

void write(const std::string& name, const std::string& text) {
  data::write(folder() / name, Bytes(text.begin(), text.end()));
}

TEST(Config, RepeatsARunBitForBit) {
  const Outcome again = run(
      folder(), {"train", "--config", "run/config.toml", "--out", "again", "--json", "--quiet"});
  ASSERT_EQ(again.code, 0) << again.err;
  EXPECT_EQ(Json::parse(again.out)["params_sha256"],
            Json::parse(text_of(folder() / "result.json"))["params_sha256"]);
  EXPECT_EQ(text_of(folder() / "again" / "config.toml"), text_of(folder() / "run" / "config.toml"));
}

TEST(Config, OptionsBesideItComeFirst) {
  const Outcome other =
      run(folder(), {"train", "--lr", "0.01", "--config", "run/config.toml", "--seed", "8", "--out",
                     "other", "--quiet", "--epochs", "1"});
  ASSERT_EQ(other.code, 0) << other.err;
  const std::string config = text_of(folder() / "other" / "config.toml");
  for (const char* line : {"learning_rate = 0.01\n", "seed = 8\n", "epochs = 1\n",
                           "momentum = 0.9\n", "groups = \"*.bias:lr=2 fc:lr=0.5,decay=0\"\n"})
    EXPECT_NE(config.find(line), std::string::npos) << line << config;
}

TEST(Config, CheckJudgesTheSetUpOfTheRun) {
  const Outcome outcome = run(folder(), {"check", "--config", "run/config.toml", "--json", "--only",
                                         "simplify,schedule_audit,evaluation_recount"});
  ASSERT_EQ(outcome.code, 0) << outcome.out << outcome.err;
  const Json checks = Json::parse(outcome.out)["checks"];
  EXPECT_EQ(checks[0]["measured"], 4) << checks[0];  // dropout, augmentation, mixing, the schedule
  for (const Json& each : checks) EXPECT_EQ(each["outcome"], "pass") << each;
}

TEST(Config, AFileOfLayersIsNotNeededAgain) {
  write("net.toml", "layers = [{type = \"flatten\"}, {type = \"linear\", name = \"fc\"}]\n");
  const Outcome first = run(folder(), {"train", "--data", "data", "--model", "net.toml", "--epochs",
                                       "1", "--out", "layers", "--json", "--quiet"});
  ASSERT_EQ(first.code, 0) << first.err;
  std::filesystem::remove(folder() / "net.toml");
  const Outcome again = run(folder(), {"train", "--config", "layers/config.toml", "--out",
                                       "layers2", "--json", "--quiet"});
  ASSERT_EQ(again.code, 0) << again.err;
  EXPECT_EQ(Json::parse(again.out)["params_sha256"], Json::parse(first.out)["params_sha256"]);
  const Outcome named = run(folder(), {"check", "--config", "layers/config.toml", "--model", "mlp",
                                       "--only", "simplify", "--json"});
  EXPECT_EQ(Json::parse(named.out)["task"].get<std::string>().substr(0, 3), "mlp") << named.err;
}

TEST(Config, WhatIsNoConfigIsASentenceWithItsLine) {
  std::string other = text_of(folder() / "run" / "config.toml");
  const auto sha = other.find("sha256 = \"") + 10;
  other[sha] = other[sha] == '0' ? '1' : '0';
  write("other.toml", other);
  struct Try {
    const char* text;
    int code;
    const char* part;
  };
  for (const auto& [text, code, part] : std::vector<Try>{
           {"[train]\nbatch_size = 0\n", 2, "bad.toml:2: --batch-size 0: give a whole number"},
           {"seed = 1\n[train]\nlearning_rat = 0.1\n", 2,
            "bad.toml:3: train.learning_rat is unknown; did you mean 'train.learning_rate'?"},
           {"[train]\nepochs = [1, 2]\n", 2, "bad.toml:2: train.epochs has to be one value"},
           {"[train]\nnesterov = \"perhaps\"\n", 2, "bad.toml:2: train.nesterov = perhaps"},
           {"[model]\nname = \"lenet\"\n", 2, "bad.toml:2: model 'lenet' is unknown"},
           {"[augment]\ncrop = 1\nmirror = 0.5\n", 2, "bad.toml:1: --augment 'mirror'"},
           {"[model]\nlayers = \"[]\"\n", 2, "there is no /model/name"},
           {"seed = \n", 3, "bad.toml:1: "},
           {"seed = 1979-05-27\n", 3, "bad.toml:1: a date"},
           {"seed = \"\"\"1\n\"\"\"\n", 3, "bad.toml:1: a string over several lines"}}) {
    write("bad.toml", text);
    const Outcome outcome = run(folder(), {"check", "--data", "data", "--config", "bad.toml"});
    EXPECT_EQ(outcome.code, code) << text << outcome.err;
    EXPECT_NE(outcome.err.find(part), std::string::npos) << text << outcome.err;
    EXPECT_EQ(std::count(outcome.err.begin(), outcome.err.end(), '\n'), 1) << outcome.err;
    EXPECT_EQ(outcome.out, "");
  }
  for (const auto& [file, part] : std::vector<std::pair<const char*, const char*>>{
           {"absent.toml", "absent.toml: cannot be read"},
           {"run", "run: cannot be read"},
           {"other.toml", "the run's data had SHA-256"}}) {
    const Outcome outcome = run(folder(), {"check", "--config", file, "--only", "simplify"});
    EXPECT_EQ(outcome.code, 3) << outcome.err;
    EXPECT_NE(outcome.err.find(part), std::string::npos) << outcome.err;
  }
  // Other data that are named are meant.
  EXPECT_EQ(
      run(folder(), {"check", "--config", "other.toml", "--data", "data", "--only", "simplify"})
          .code,
      0);
}

}  // namespace
}  // namespace cucina::cli
