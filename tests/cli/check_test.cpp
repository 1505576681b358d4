// Promises of `cucina check`: exit codes, the table and JSON, planted bugs found by their check,
// and misuse in one sentence.
#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "tests/cli/program.h"

namespace cucina::cli {
namespace {

using Json = nlohmann::json;

Arguments check(const Arguments& more) {
  Arguments all{"check", "--data", "data", "--model",  "mlp", "--batch-size",
                "16",    "--lr",   "1e-3", "--device", "cpu"};
  all.insert(all.end(), more.begin(), more.end());
  return all;
}

TEST(Check, AHealthyTrainingPasses) {
  const Outcome outcome = run(spots(), check({"--json"}));
  ASSERT_EQ(outcome.code, 0) << outcome.out << outcome.err;
  const Json result = Json::parse(outcome.out);
  EXPECT_EQ(result["failed"], false);
  EXPECT_GE(result["checks"].size(), 18u);
  for (const Json& each : result["checks"]) EXPECT_NE(each["outcome"], "fail") << each;
  const Outcome alone = run(spots(), check({"--only", "fix_random_seed", "--json"}));
  EXPECT_EQ(Json::parse(alone.out)["params_sha256"], result["params_sha256"]);
}

struct Planted {
  const char* bug;
  const char* check;
  const char* reason;
};

class Plants : public testing::TestWithParam<Planted> {};

TEST_P(Plants, AreFoundByTheRightCheck) {
  const auto [bug, name, reason] = GetParam();
  const Outcome outcome = run(spots(), check({"--plant", bug, "--only", name, "--json"}));
  ASSERT_EQ(outcome.code, 6) << outcome.out << outcome.err;
  const Json verdict = Json::parse(outcome.out)["checks"][0];
  EXPECT_EQ(verdict["check"], name);
  EXPECT_EQ(verdict["outcome"], "fail");
  EXPECT_EQ(verdict["reasons"][0], reason) << verdict;
  EXPECT_NE(verdict["hint"], "");
  EXPECT_EQ(run(spots(), check({"--only", name})).code, 0) << "of the healthy twin";
}

INSTANTIATE_TEST_SUITE_P(
    Check, Plants,
    testing::Values(Planted{"double-softmax", "overfit_one_batch", "double-softmax"},
                    Planted{"view-for-permute", "dependency_map", "examples-mix"},
                    Planted{"no-zero-grad", "step_audit", "gradients-accumulate"},
                    Planted{"shuffled-labels", "door_probe", "labels-at-chance"}),
    [](const auto& info) {
      std::string name = info.param.bug;
      std::erase(name, '-');
      return name;
    });

TEST(Check, TheTableHasALinePerCheckAndNoColourInAFile) {
  const Outcome outcome = run(spots(), check({"--only", "loss_at_init,schedule_audit"}));
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_EQ(std::count(outcome.out.begin(), outcome.out.end(), '\n'), 3) << outcome.out;
  EXPECT_NE(outcome.out.find("2 checks in"), std::string::npos);
  EXPECT_EQ(outcome.out.find('\x1b'), std::string::npos);
  const Outcome colored = run(spots(), check({"--only", "schedule_audit", "--color", "always"}));
  EXPECT_NE(colored.out.find('\x1b'), std::string::npos);
}

TEST(Check, TwoPeoplesLabelsAreCompared) {
  // Twenty images, the people differ in the last two; the second file has another order and a
  // header.
  std::string first, second = "index,label\n";
  for (int i = 0; i < 20; ++i) {
    first += fmt::format("{},{}\n", i, i % 10);
    second += fmt::format("{},\"{}\"\r\n", 19 - i, (19 - i) % 10 + (i < 2 ? -1 : 0));
  }
  const auto write = [](const char* name, const std::string& text) {
    data::write(spots() / name, Bytes(text.begin(), text.end()));
  };
  write("a.csv", first);
  write("b.csv", second);
  const auto judge = [](const char* a, const char* b, const char* accuracy) {
    return run(spots(), check({"--only", "human_baseline", "--json", "--people", a, b,
                               "--model-accuracy", accuracy}));
  };
  const Json verdict = Json::parse(judge("a.csv", "b.csv", "0.9").out)["checks"][0];
  EXPECT_EQ(verdict["outcome"], "pass") << verdict;
  // They agree on 0.9 of them; by chance on 0.1, as each names every class about twice.
  EXPECT_NEAR(verdict["measured"], (0.9 - 0.1) / (1 - 0.1), 0.01);
  EXPECT_EQ(Json::parse(judge("a.csv", "a.csv", "0.9").out)["checks"][0]["reasons"][0],
            "same-annotation");
  write("c.csv", "0,1\n1,9\n0,2\n");
  write("d.csv", "0,1\n5000,1\n");
  write("e.csv", "0,grey\n");
  write("f.csv", "0\n");
  write("g.csv", "30,1\n");
  for (const auto& [file, part] : std::vector<std::pair<const char*, const char*>>{
           {"c.csv", "c.csv: line 3: image 0 is named twice"},
           {"d.csv", "d.csv: line 2: '5000' is no image"},
           {"e.csv", "e.csv: line 1: 'grey' is none of the 10 classes"},
           {"f.csv", "f.csv: line 1: 1 cells"},
           {"g.csv", "name no image that is in both"},
           {"absent.csv", "absent.csv"}}) {
    const Outcome outcome = judge("a.csv", file, "0.9");
    EXPECT_EQ(outcome.code, 3) << file << outcome.err;
    EXPECT_NE(outcome.err.find(part), std::string::npos) << outcome.err;
  }
}

TEST(Check, LeavesPicturesWhereAskedTo) {
  const Outcome outcome =
      run(spots(), check({"--only", "simplify", "--json", "--out", "pictures"}));
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  const Json files = Json::parse(outcome.out)["files"];
  EXPECT_GE(files.size(), 3u);
  for (const Json& each : files)
    EXPECT_GT(std::filesystem::file_size(spots() / "pictures" / each.get<std::string>()), 0u)
        << each;
}

TEST(Check, ExplainsWithoutData) {
  const Outcome outcome = run(spots(), {"check", "--explain", "overfit_one_batch"});
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_NE(outcome.out.find("tip 8"), std::string::npos);
  EXPECT_NE(outcome.out.find("Source: Karpathy 2019"), std::string::npos);
}

TEST(Check, MisuseIsOneSentence) {
  const auto refused = [](const Arguments& arguments, const char* part) {
    const Outcome outcome = run(spots(), arguments);
    EXPECT_EQ(outcome.code, 2) << outcome.out;
    EXPECT_EQ(outcome.out, "");
    EXPECT_NE(outcome.err.find(part), std::string::npos) << outcome.err;
    EXPECT_EQ(std::count(outcome.err.begin(), outcome.err.end(), '\n'), 1) << outcome.err;
  };
  refused({"check"}, "--data is missing");
  refused(check({"--only", "step_aduit"}), "'step_aduit'");
  refused(check({"--plant", "softmax"}), "--plant softmax");
  refused(check({"--only", "step_audit", "--skip", "step_audit"}), "leaves no check");
}

}  // namespace
}  // namespace cucina::cli
