// Promises of metrics.jsonl: the exact keys, no NaN, and every line on disk at once.
#include "recipe/report/metrics_log.h"

#include <gtest/gtest.h>

#include <cmath>
#include <fstream>
#include <limits>
#include <nlohmann/json.hpp>
#include <sstream>

#include "tests/data/files.h"

namespace cucina::report {
namespace {

using data::Folder;

std::string text_of(const std::filesystem::path& path) {
  std::ifstream file(path);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

TEST(MetricsLog, ALineHasTheAgreedKeysInTheAgreedOrder) {
  EXPECT_EQ(
      to_json({.unix_time = 1700000000.5,
               .step = 469,
               .epoch = 1,
               .split = "train",
               .loss = 0.25,
               .accuracy = 0.5,
               .learning_rate = 0.001}),
      R"({"v":1,"ts":1700000000.5,"step":469,"epoch":1,"split":"train","loss":0.25,"acc":0.5,"lr":0.001})");
  EXPECT_EQ(to_json({.unix_time = 1, .step = 0, .epoch = 0, .split = "val", .loss = 1.0}),
            R"({"v":1,"ts":1.0,"step":0,"epoch":0,"split":"val","loss":1.0})");
}

TEST(MetricsLog, WhatIsNotFiniteIsNullAndNamed) {
  EXPECT_EQ(to_json({.unix_time = 1.5,
                     .step = 2,
                     .epoch = 1,
                     .split = "train",
                     .loss = std::nan(""),
                     .accuracy = 0.5,
                     .learning_rate = std::numeric_limits<double>::infinity()}),
            R"({"v":1,"ts":1.5,"step":2,"epoch":1,"split":"train","loss":null,"acc":0.5,"lr":null,)"
            R"("nonfinite":["loss","lr"]})");
}

TEST(MetricsLog, NumbersReadBackToTheSameDouble) {
  const double loss = 0.1 + 0.2;
  const auto line =
      nlohmann::json::parse(to_json({.split = "test", .loss = loss, .learning_rate = 1e-300}));
  EXPECT_EQ(line["loss"].get<double>(), loss);
  EXPECT_EQ(line["lr"].get<double>(), 1e-300);
}

TEST(MetricsLog, EveryLineIsOnDiskBeforeTheNext) {
  const Folder folder;
  MetricsLog log(folder / "metrics.jsonl");
  log.write({.step = 1, .split = "train"});
  EXPECT_EQ(text_of(folder / "metrics.jsonl"), to_json({.step = 1, .split = "train"}) + "\n");
  log.write({.step = 2, .split = "train"});
  EXPECT_EQ(text_of(folder / "metrics.jsonl"), to_json({.step = 1, .split = "train"}) + "\n" +
                                                   to_json({.step = 2, .split = "train"}) + "\n");
}

TEST(MetricsLog, StartsEmptyOrGoesOn) {
  const Folder folder;
  const auto path = folder / "metrics.jsonl";
  MetricsLog(path).write({.step = 1, .split = "train"});
  MetricsLog(path, true).write({.step = 2, .split = "train"});
  const std::string both = text_of(path);
  EXPECT_EQ(std::count(both.begin(), both.end(), '\n'), 2);
  MetricsLog(path).write({.step = 3, .split = "train"});
  EXPECT_EQ(text_of(path), to_json({.step = 3, .split = "train"}) + "\n");
}

TEST(MetricsLog, ARefusedWriteIsReported) {
  const Folder folder;
  try {
    MetricsLog log(folder / "absent" / "metrics.jsonl");
    ADD_FAILURE() << "nothing was thrown";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::usage);
  }
  if (!std::filesystem::exists("/dev/full")) GTEST_SKIP() << "there is no /dev/full on this system";
  MetricsLog log("/dev/full");
  try {
    log.write({.step = 7, .split = "train"});
    ADD_FAILURE() << "nothing was thrown";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::run_failed);
    EXPECT_NE(std::string(error.what()).find("/dev/full: step 7"), std::string::npos)
        << error.what();
  }
}

}  // namespace
}  // namespace cucina::report
