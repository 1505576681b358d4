// Promises of --resume: whatever moment a training is killed at, it ends with the bits of an
// unbroken one; and other settings are refused.
#include <fmt/core.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "tests/cli/program.h"

namespace cucina::cli {
namespace {

using Json = nlohmann::json;

Arguments train(const Arguments& more) {
  Arguments all{"train", "--data", "data", "--out", "run", "--json"};
  const std::map<std::string, std::string> defaults{
      {"--device", "cpu"},     {"--backend", "hand"},
      {"--model", "bn_cnn"},   {"--dropout", "0.2"},
      {"--epochs", "2"},       {"--batch-size", "16"},
      {"--lr", "3e-3"},        {"--schedule", "cosine"},
      {"--warmup-steps", "5"}, {"--augment", "crop,flip,cutout,mixup"},
  };
  for (const auto& [flag, value] : defaults)
    if (std::find(more.begin(), more.end(), flag) == more.end())
      all.insert(all.end(), {flag, value});
  all.insert(all.end(), more.begin(), more.end());
  return all;
}

std::string sum_of(const Outcome& outcome) {
  EXPECT_EQ(outcome.code, 0) << outcome.err;
  return outcome.code == 0 ? Json::parse(outcome.out)["params_sha256"].get<std::string>() : "";
}

// The lines of metrics without their times.
std::vector<Json> metrics(const Folder& folder) {
  std::vector<Json> all;
  const std::string text = text_of(folder / "run" / "metrics.jsonl");
  std::size_t begin = 0;
  for (std::size_t end; (end = text.find('\n', begin)) != std::string::npos; begin = end + 1) {
    all.push_back(Json::parse(text.substr(begin, end - begin)));
    all.back().erase("ts");
  }
  EXPECT_EQ(begin, text.size());
  return all;
}

// The moments are what comes next after a random checkpoint, or after nothing at all; every step
// writes one, so most are in the middle of a write.
TEST(Resume, AfterAKillAtAnyMomentGivesTheSameBits) {
  const Folder whole;
  write_spots(whole / "data", 200, 20);
  const std::string expected = sum_of(run(whole, train({})));
  std::uint32_t state = 20;
  int killed = 0;
  for (int i = 0; i < 30; ++i) {
    const Folder folder;
    write_spots(folder / "data", 200, 20);
    Program program(folder, train({"--checkpoint-every", "1", "--keep-checkpoints", "99"}));
    state = state * 1664525 + 1013904223;
    const std::uint32_t step = (state >> 8) % 20;
    if (step > 0) program.wait_for(fmt::format("run/ckpt/step-{:012}.safetensors", step));
    program.signal(SIGKILL);
    killed += program.finish().code == 1000 + SIGKILL ? 1 : 0;
    const Outcome resumed = run(folder, train({"--resume"}));
    EXPECT_EQ(sum_of(resumed), expected) << "kill " << i << ": " << resumed.err;
    EXPECT_EQ(metrics(folder), metrics(whole)) << "kill " << i;
    for (const auto& [name, bytes] : contents(folder))
      EXPECT_EQ(name.find(".tmp."), std::string::npos) << name;
  }
  EXPECT_GT(killed, 0);
}

TEST(Resume, AfterASignalGoesOnFromThatStep) {
  const Folder whole, folder;
  write_spots(whole / "data", 200, 20);
  write_spots(folder / "data", 200, 20);
  const std::string expected = sum_of(run(whole, train({"--epochs", "5"})));
  Program program(folder, train({"--epochs", "1000000", "--schedule-steps", "60"}));
  ASSERT_TRUE(program.wait_for("run/metrics.jsonl"));
  program.signal(SIGTERM);
  EXPECT_EQ(program.finish().code, 143);
  const Outcome again = run(folder, train({"--epochs", "5", "--schedule-steps", "60", "--resume"}));
  EXPECT_EQ(sum_of(again), expected) << again.err;
  EXPECT_NE(again.err.find("going on after step "), std::string::npos) << again.err;
}

TEST(Resume, MoreEpochsGoOnFromAFinishedRun) {
  const Folder whole, folder;
  for (const Folder* each : {&whole, &folder}) write_spots(*each / "data", 200, 20);
  const std::string expected =
      sum_of(run(whole, train({"--epochs", "4", "--schedule", "constant"})));
  sum_of(run(folder, train({"--schedule", "constant"})));
  EXPECT_EQ(sum_of(run(folder, train({"--schedule", "constant", "--epochs", "4", "--resume"}))),
            expected);
  EXPECT_EQ(metrics(folder), metrics(whole));
  // And once more with nothing left to do.
  EXPECT_EQ(sum_of(run(folder, train({"--schedule", "constant", "--epochs", "4", "--resume"}))),
            expected);
}

TEST(Resume, OtherSettingsAreRefusedAndTheRunIsKept) {
  const Folder folder;
  write_spots(folder / "data", 200, 20);
  sum_of(run(folder, train({})));
  const auto before = contents(folder);
  const Outcome longer = run(folder, train({"--resume", "--epochs", "3"}));
  EXPECT_EQ(longer.code, 2);  // a cosine over three epochs is another
  EXPECT_NE(longer.err.find("schedule.steps is "), std::string::npos) << longer.err;
  const Outcome outcome = run(folder, train({"--resume", "--seed", "2"}));
  EXPECT_EQ(outcome.code, 2);
  EXPECT_NE(outcome.err.find("seed is 1 in "), std::string::npos) << outcome.err;
  EXPECT_EQ(contents(folder), before);
}

TEST(Resume, ADamagedCheckpointIsRefusedByName) {
  const Folder folder;
  write_spots(folder / "data", 200, 20);
  sum_of(run(folder, train({})));
  std::filesystem::path newest;
  for (const auto& entry : std::filesystem::directory_iterator(folder / "run" / "ckpt"))
    newest = std::max(newest, entry.path());
  data::Bytes bytes = data::read(newest);
  bytes.back() ^= 1;
  data::write(newest, bytes);
  const Outcome same = run(folder, train({"--resume"}));
  EXPECT_EQ(same.code, 3);
  EXPECT_NE(same.err.find(newest.filename().string()), std::string::npos) << same.err;
  EXPECT_NE(same.err.find("damaged"), std::string::npos) << same.err;
}

TEST(Resume, WithoutACheckpointStartsFromTheBeginningOrRefuses) {
  const Folder folder;
  write_spots(folder / "data", 200, 20);
  const std::string expected = sum_of(run(folder, train({"--resume"})));
  std::filesystem::remove_all(folder / "run" / "ckpt");
  const Outcome refused = run(folder, train({"--resume"}));
  EXPECT_EQ(refused.code, 2);
  EXPECT_NE(refused.err.find("finished run without checkpoints"), std::string::npos);
  EXPECT_EQ(sum_of(run(folder, train({"--overwrite", "--keep-checkpoints", "0"}))), expected);
  EXPECT_FALSE(std::filesystem::exists(folder / "run" / "ckpt"));
}

}  // namespace
}  // namespace cucina::cli
