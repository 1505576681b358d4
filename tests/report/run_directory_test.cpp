// Promises of a run's folder: no earlier run is lost unasked, and config.toml is TOML.
#include "recipe/report/run_directory.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "tests/data/files.h"

namespace cucina::report {
namespace {

using data::Folder;

void expect_usage_error(const std::filesystem::path& path, Existing existing,
                        const std::string& part) {
  try {
    RunDirectory(path, existing);
    ADD_FAILURE() << "nothing was thrown for " << path;
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::usage);
    EXPECT_NE(std::string(error.what()).find(part), std::string::npos) << error.what();
  }
}

TEST(RunDirectory, MakesTheFolderAndItsParents) {
  const Folder folder;
  const RunDirectory run(folder / "a" / "b", Existing::refuse);
  EXPECT_TRUE(std::filesystem::is_directory(folder / "a" / "b"));
  EXPECT_TRUE(std::filesystem::is_empty(folder / "a" / "b"));
  EXPECT_EQ(run.config(), folder / "a" / "b" / "config.toml");
}

TEST(RunDirectory, RefusesAnEarlierRunAndLeavesItAlone) {
  for (const char* file :
       {"config.toml", "metrics.jsonl", "model.safetensors", "best.safetensors"}) {
    const Folder folder;
    data::write(folder / file, {1, 2, 3});
    expect_usage_error(folder.path(), Existing::refuse,
                       std::string("holds a run already (") + file + ")");
    EXPECT_EQ(data::read(folder / file), (data::Bytes{1, 2, 3}));
  }
}

TEST(RunDirectory, OverwriteRemovesTheRunAndNothingElse) {
  const Folder folder;
  data::write(folder / "model.safetensors", {1});
  data::write(folder / "notes.txt", {2});
  const RunDirectory run(folder.path(), Existing::replace);
  EXPECT_FALSE(std::filesystem::exists(run.model()));
  EXPECT_EQ(data::read(folder / "notes.txt"), data::Bytes{2});
}

TEST(RunDirectory, AFolderWithOtherFilesIsNoRun) {
  const Folder folder;
  data::write(folder / "notes.txt", {2});
  EXPECT_NO_THROW(RunDirectory(folder.path(), Existing::refuse));
  EXPECT_EQ(data::read(folder / "notes.txt"), data::Bytes{2});
}

TEST(RunDirectory, WhatCannotBeWrittenIsAUsageError) {
  const Folder folder;
  data::write(folder / "file", {1});
  expect_usage_error(folder / "file", Existing::refuse, "cannot be made");
  expect_usage_error(folder / "file" / "run", Existing::refuse, "cannot be made");
  expect_usage_error("", Existing::refuse, "name is empty");
  expect_usage_error("/proc/cucina", Existing::refuse, "cannot be made");
  expect_usage_error("/proc", Existing::refuse, "cannot be written");  // even for root
}

TEST(RunDirectory, ConfigIsToml) {
  const std::vector<Section> sections = {{"", {{"title", "a"}}},
                                         {"train",
                                          {{"epochs", std::int64_t{20}},
                                           {"lr", 1e-3},
                                           {"momentum", 1.0},
                                           {"tiny", 1e-30},
                                           {"loss", std::nan("")},
                                           {"best", -std::numeric_limits<double>::infinity()},
                                           {"amp", false},
                                           {"with space", std::string("x")}}},
                                         {"a.b", {{"", std::string("")}}}};
  EXPECT_EQ(to_toml(sections),
            "title = \"a\"\n"
            "\n[train]\nepochs = 20\nlr = 0.001\nmomentum = 1.0\ntiny = 1e-30\nloss = nan\nbest = "
            "-inf\namp = false\n"
            "\"with space\" = \"x\"\n"
            "\n[\"a.b\"]\n\"\" = \"\"\n");
}

TEST(RunDirectory, StringsAreEscaped) {
  const auto value = [](const std::string& text) { return to_toml({{"", {{"k", text}}}}); };
  EXPECT_EQ(value("a\"b\\c\n\t\x01\x7f"), "k = \"a\\\"b\\\\c\\n\\t\\u0001\\u007F\"\n");
  EXPECT_EQ(value(std::string("\0", 1)), "k = \"\\u0000\"\n");
  EXPECT_EQ(value("naïve ━ 🍝"), "k = \"naïve ━ 🍝\"\n");
  const std::string unknown = "\xef\xbf\xbd";
  EXPECT_EQ(value("\xff"), "k = \"" + unknown + "\"\n");
  EXPECT_EQ(value("\xc0\xaf"), "k = \"" + unknown + unknown + "\"\n");                // overlong
  EXPECT_EQ(value("\xed\xa0\x80"), "k = \"" + unknown + unknown + unknown + "\"\n");  // a surrogate
  EXPECT_EQ(value("\xe2\x94"), "k = \"" + unknown + unknown + "\"\n");                // cut short
}

TEST(RunDirectory, WriteConfigReplacesTheWholeFile) {
  const Folder folder;
  const RunDirectory run(folder.path(), Existing::refuse);
  run.write_config({{"", {{"a", std::int64_t{1}}, {"b", std::int64_t{2}}}}});
  run.write_config({{"", {{"a", std::int64_t{3}}}}});
  const auto bytes = data::read(run.config());
  EXPECT_EQ(std::string(bytes.begin(), bytes.end()), "a = 3\n");
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(folder.path()), {}), 1);
}

}  // namespace
}  // namespace cucina::report
