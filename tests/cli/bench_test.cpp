// Promises of `cucina ops`, `gradcheck` and `bench`: what they report, and what ends them.
#include <algorithm>
#include <nlohmann/json.hpp>
#include <set>

#include "core/cuda_runtime.h"
#include "tests/cli/program.h"

namespace cucina::cli {
namespace {

using Json = nlohmann::json;

std::ptrdiff_t lines_in(const std::string& text) {
  return std::count(text.begin(), text.end(), '\n');
}

TEST(Ops, NoOpIsWithoutHandKernels) {
  const Folder folder;
  const Outcome outcome = run(folder, {"ops", "--json"});
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  const Json ops = Json::parse(outcome.out);
  std::set<std::string> names;
  for (const Json& op : ops) {
    names.insert(op["op"]);
    EXPECT_TRUE(op["backends"]["cpu"].contains("reference")) << op;
    ASSERT_TRUE(op["backends"]["cpu"].contains("hand")) << op;
    EXPECT_FALSE(op["backends"]["cpu"]["hand"].empty()) << op;
    EXPECT_GT(op["cases"], 0) << op;
  }
  EXPECT_EQ(names.size(), ops.size());
  for (const char* op : {"conv2d", "matmul", "batch_norm", "adam"}) EXPECT_TRUE(names.contains(op));
  EXPECT_EQ(lines_in(run(folder, {"ops"}).out), static_cast<std::ptrdiff_t>(ops.size()) + 2);
}

TEST(Gradcheck, ReportsTheWorstErrorAndWhereItIs) {
  const Folder folder;
  const Outcome outcome = run(folder, {"gradcheck", "--op", "pool2d", "--op", "sgd", "--json"});
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  const Json report = Json::parse(outcome.out);
  EXPECT_EQ(report["tolerance"], 1e-6);
  EXPECT_TRUE(report["complete"]);
  ASSERT_EQ(report["ops"].size(), 2u);
  const Json& pool = report["ops"][0];
  EXPECT_EQ(pool["op"], "pool2d");
  EXPECT_GT(pool["cases"], 5);
  EXPECT_GT(pool["worst"], 0) << "differences are never exact";
  EXPECT_LT(pool["worst"], 1e-6);
  EXPECT_EQ(pool["input"], "x");
  EXPECT_EQ(report["ops"][1]["cases"], 0) << "an optimiser has no gradient";
  EXPECT_NE(run(folder, {"gradcheck", "--op", "sgd"}).out.find("has no gradient"),
            std::string::npos);
}

TEST(Gradcheck, AnErrorThatIsNotBelowTheToleranceExits1) {
  const Folder folder;
  const Arguments arguments{"gradcheck", "--op", "pool2d", "--op", "sgd", "--tolerance", "1e-14"};
  const Outcome outcome = run(folder, arguments);
  EXPECT_EQ(outcome.code, 1);
  EXPECT_NE(outcome.out.find("FAIL"), std::string::npos) << outcome.out;
  EXPECT_NE(outcome.err.find("the gradient of x is off by"), std::string::npos) << outcome.err;
  EXPECT_NE(outcome.err.find("1 of 2 ops have an error"), std::string::npos) << outcome.err;
}

TEST(Bench, ReportsHandAndVendorWithFloors) {
  const Folder folder;
  const Outcome outcome = run(folder, {"bench", "--op", "pool2d", "--case", "max_lenet", "--device",
                                       "cpu", "--min-time", "0.01", "--json", "out.json"});
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_NE(outcome.out.find("% of floor"), std::string::npos) << outcome.out;
  EXPECT_EQ(outcome.err.find('\r'), std::string::npos) << "stderr is no terminal here";
  const Json report = Json::parse(text_of(folder / "out.json"));
  EXPECT_TRUE(report["complete"]);
  EXPECT_EQ(report["device"], "cpu");
  for (const char* key : {"date", "command", "machine", "peaks"}) EXPECT_TRUE(report.contains(key));
  std::set<std::string> timed;
  for (const Json& row : report["rows"]) {
    EXPECT_EQ(row["op"], "pool2d");
    EXPECT_EQ(row["case"], "max_lenet");
    EXPECT_EQ(row["dtype"], "f32");
    timed.insert(row["entry"].get<std::string>() + " " + row["backend"].get<std::string>());
    EXPECT_GT(row["median_seconds"], 0);
    EXPECT_LE(row["low_quartile_seconds"], row["median_seconds"]);
    EXPECT_LE(row["median_seconds"], row["high_quartile_seconds"]);
    EXPECT_GT(row["floor_seconds"], 0);
    EXPECT_GE(row["samples_seconds"].size(), 3u);
    const double share = row["floor_seconds"].get<double>() / row["median_seconds"].get<double>();
    EXPECT_NEAR(row["share_of_floor"].get<double>(), share, 1e-9);
  }
  EXPECT_TRUE(timed.contains("max_forward hand"));
  EXPECT_EQ(contents(folder).size(), 1u) << "no temporary file stays";
}

TEST(Bench, JsonOnStdoutIsAllThereIs) {
  const Folder folder;
  const Outcome outcome =
      run(folder, {"bench", "--op", "ema", "--op", "adam", "--backend", "reference", "--dtype",
                   "f64", "--device", "cpu", "--min-time", "0.001", "--json", "-", "-q"});
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_EQ(outcome.err, "");
  std::set<std::string> ops;
  const Json report = Json::parse(outcome.out);
  for (const Json& row : report["rows"]) {
    ops.insert(row["op"]);
    EXPECT_EQ(row["backend"], "reference");
    EXPECT_EQ(row["dtype"], "f64");
    EXPECT_TRUE(row["vendor_ratio"].is_null());
  }
  EXPECT_EQ(ops, (std::set<std::string>{"adam", "ema"}));
}

TEST(Bench, CtrlCLeavesWhatWasMeasured) {
  const Folder folder;
  Program program(folder, {"bench", "--op", "adam", "--op", "pool2d", "--device", "cpu",
                           "--min-time", "0.3", "--json", "out.json"});
  // The first line of the table is out once a call is measured; its head comes with it.
  ASSERT_TRUE(program.wait_for(".out"));
  while (text_of(folder / ".out").find("hand") == std::string::npos)
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  program.signal(SIGINT);
  const Outcome outcome = program.finish();
  EXPECT_EQ(outcome.code, 130) << outcome.err;
  EXPECT_NE(outcome.err.find("stopped by signal 2"), std::string::npos) << outcome.err;
  const Json report = Json::parse(text_of(folder / "out.json"));
  EXPECT_FALSE(report["complete"]);
  EXPECT_GE(report["rows"].size(), 1u);
  EXPECT_EQ(report["rows"][0]["op"], "pool2d") << "the first in the list of ops";
}

TEST(Bench, WrongWordsAreASentence) {
  const Folder folder;
  struct Try {
    Arguments arguments;
    int code;
    std::string part;
  };
  for (const auto& [arguments, code, part] : std::vector<Try>{
           {{"bench", "--op", "con2d"}, 2, "did you mean 'conv2d'?"},
           {{"bench", "--op", "adam", "--case", "nothing"}, 2, "no timed case has nothing"},
           {{"bench", "--op", "adam", "--backend", "hands"}, 2, "--backend hands"},
           {{"bench", "--op", "adam", "--dtype", "f16"}, 2, "--dtype f16"},
           {{"bench", "--op", "adam", "--min-time", "0"}, 2, "--min-time 0"},
           {{"bench", "--op", "adam", "--min-time", "nan"}, 2, "--min-time nan"},
           {{"bench", "--op", "adam", "--device", "cpu", "--json", "absent/out.json"},
            1,
            "absent/out.json cannot be written"},
           {{"gradcheck", "--op", "relus"}, 2, "there is no op relus"},
           {{"ops", "pool2d"}, 2, "unknown argument pool2d"}}) {
    const Outcome outcome = run(folder, arguments);
    EXPECT_EQ(outcome.code, code) << outcome.err;
    EXPECT_NE(outcome.err.find(part), std::string::npos) << outcome.err;
    EXPECT_EQ(lines_in(outcome.err), 1) << outcome.err;
    EXPECT_EQ(contents(folder).size(), 0u);
  }
}

TEST(Bench, CudaWithoutAGpuExits4) {
  if (cuda_available()) GTEST_SKIP() << "there is a GPU here";
  const Folder folder;
  const Outcome outcome = run(folder, {"bench", "--device", "cuda"});
  EXPECT_EQ(outcome.code, 4);
  EXPECT_EQ(lines_in(outcome.err), 1) << outcome.err;
}

}  // namespace
}  // namespace cucina::cli
