// Promises of `cucina import`: weights become a model folder that eval takes, and what does not fit
// is one sentence and leaves nothing behind.
#include <gtest/gtest.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "nn/safetensors.h"
#include "nn/weights.h"
#include "tests/cli/program.h"

namespace cucina::cli {
namespace {

// The weights of a bn_cnn for the spots of write_spots, as PyTorch would have saved them.
std::filesystem::path write_weights(const Folder& folder, bool with_counts,
                                    const std::map<std::string, std::string>& metadata) {
  const nn::Model model = nn::make_model("bn_cnn", 8, 8, 1, 10, 3);
  std::vector<nn::TensorToStore> tensors;
  for (nn::TensorToStore& tensor : nn::state(*model.net)) {
    if (with_counts || !tensor.name.ends_with("num_batches_tracked"))
      tensors.push_back(std::move(tensor));
  }
  nn::write_safetensors(folder / "weights.safetensors", tensors, metadata);
  return folder / "weights.safetensors";
}

Arguments import_of(const std::filesystem::path& file) {
  return {"import", "--safetensors", file.string(), "--model", "bn_cnn", "--height", "8", "--width",
          "8",      "--channels",    "1",           "--out",   "made",   "--json"};
}

Arguments with(Arguments arguments, const Arguments& more) {
  arguments.insert(arguments.end(), more.begin(), more.end());
  return arguments;
}

TEST(Import, MakesAFolderThatEvalTakes) {
  const Folder folder;
  write_spots(folder / "spots", 40, 20);
  const auto file = write_weights(folder, false, {{"mean", "0.5"}, {"std", "0.25"}});
  const Outcome made = run(folder, import_of(file));
  ASSERT_EQ(made.code, 0) << made.err;
  const auto line = nlohmann::json::parse(made.out);
  EXPECT_EQ(line["parameters"], 24'058);
  const Outcome measured =
      run(folder, {"eval", "--model-dir", "made", "--data", "spots", "--split", "test", "--json"});
  ASSERT_EQ(measured.code, 0) << measured.err;
  const auto result = nlohmann::json::parse(measured.out);
  EXPECT_EQ(result["params_sha256"], line["params_sha256"]);
  EXPECT_EQ(result["n"], 20);
  EXPECT_TRUE(result["correct"].is_number_integer());
}

TEST(Import, FlagsWinOverTheFilesNormalisation) {
  const Folder folder;
  const auto file = write_weights(folder, true, {{"mean", "0.5"}, {"std", "0.25"}});
  ASSERT_EQ(
      run(folder, with(import_of(file), {"--mean", "0.2", "--class-names", "a,b,c,d,e,f,g,h,i,j"}))
          .code,
      0);
  const nn::LoadedModel loaded = nn::load_model(folder / "made" / "model.safetensors");
  EXPECT_DOUBLE_EQ(loaded.info.mean[0], 51);
  EXPECT_DOUBLE_EQ(loaded.info.stddev[0], 63.75);
  EXPECT_EQ(loaded.info.class_names[9], "j");
}

TEST(Import, WhatDoesNotFitIsASentenceAndLeavesNothing) {
  const Folder folder;
  const auto file = write_weights(folder, true, {{"mean", "0.5,0.5"}, {"std", "zero"}});
  const auto bare = [&] { return write_weights(folder, true, {}); };
  struct Try {
    Arguments arguments;
    int code;
    std::string part;
  };
  for (const auto& [arguments, code, part] : std::vector<Try>{
           {import_of(file), 3, "mean in the metadata of"},
           {with(import_of(file), {"--mean", "0.5"}), 3, "'zero'"},
           {with(import_of(file), {"--mean", "0.5", "--std", "0"}), 2, "--std with positive"},
           {with(import_of(file), {"--mean", "0.5,nan"}), 2, "--mean is '0.5,nan'"},
           {with(import_of(file), {"--mean", "0.5", "--std", "1", "--classes", "11"}), 3,
            "mismatched: fc.weight"},
           {with(import_of(file), {"--mean", "0.5", "--std", "1", "--class-names", "a,b"}), 2,
            "2 names but --classes is 10"},
           {with(import_of(folder / "absent"), {}), 3, "absent"}}) {
    const Outcome outcome = run(folder, arguments);
    EXPECT_EQ(outcome.code, code) << outcome.err;
    EXPECT_NE(outcome.err.find(part), std::string::npos) << outcome.err;
    EXPECT_EQ(std::count(outcome.err.begin(), outcome.err.end(), '\n'), 1) << outcome.err;
    EXPECT_FALSE(std::filesystem::exists(folder / "made"));
  }
  const Outcome outcome = run(folder, import_of(bare()));
  EXPECT_EQ(outcome.code, 2);
  EXPECT_NE(outcome.err.find("give --mean"), std::string::npos) << outcome.err;
}

}  // namespace
}  // namespace cucina::cli
