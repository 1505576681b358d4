// Promises of `cucina inspect`: exit codes, the table, JSON, what it leaves in --out, lists, and
// misuse in one sentence; and that folders of images train and evaluate.
#include <fstream>
#include <nlohmann/json.hpp>

#include "recipe/data/picture.h"
#include "tests/cli/program.h"

namespace cucina::cli {
namespace {

using Json = nlohmann::json;

// examples/shapes, a copy of it that may be spoilt.
std::string shapes(const Folder& folder) {
  std::filesystem::copy(std::filesystem::path(CUCINA_SOURCE_DIR) / "examples" / "shapes",
                        folder / "shapes", std::filesystem::copy_options::recursive);
  return "shapes";
}

TEST(Inspect, AHealthySetPasses) {
  const Outcome outcome = run(spots(), {"inspect", "--data", "data"});
  ASSERT_EQ(outcome.code, 0) << outcome.out << outcome.err;
  EXPECT_NE(outcome.out.find("data: 8x8x1 in 10 classes"), std::string::npos) << outcome.out;
  EXPECT_NE(outcome.out.find("pass         duplicates"), std::string::npos) << outcome.out;
  EXPECT_NE(outcome.out.find("8 checks in"), std::string::npos) << outcome.out;
  EXPECT_EQ(outcome.out.find('\x1b'), std::string::npos);
}

TEST(Inspect, LeavesAReportAndSheetsAndLosesNone) {
  if (!data::picture_files_available()) GTEST_SKIP() << "this build has no PNG";
  const Folder folder;
  write_spots(folder / "data", 600, 100);
  const Arguments arguments{"inspect", "--data", "data", "--out", "report", "--json"};
  const Outcome outcome = run(folder, arguments);
  ASSERT_EQ(outcome.code, 0) << outcome.out << outcome.err;
  const Json printed = Json::parse(outcome.out);
  EXPECT_EQ(printed, Json::parse(text_of(folder / "report/inspect.json")));
  EXPECT_EQ(printed["checks"].size(), 8u);
  EXPECT_EQ(printed["statistics"]["splits"]["train"]["images"], 550);
  EXPECT_GE(printed["sheets"].size(), 3u);
  for (const Json& sheet : printed["sheets"])
    EXPECT_EQ(text_of(folder / "report" / sheet["file"].get<std::string>()).substr(1, 3), "PNG")
        << sheet;
  const auto before = contents(folder);
  const Outcome again = run(folder, arguments);
  EXPECT_EQ(again.code, 2);
  EXPECT_NE(again.err.find("already holds an inspect.json"), std::string::npos) << again.err;
  EXPECT_EQ(contents(folder), before);
  Arguments overwrite = arguments;
  overwrite.emplace_back("--overwrite");
  EXPECT_EQ(run(folder, overwrite).code, 0);
}

TEST(Inspect, AFaultIsExitCodeSixAndNamed) {
  const Folder folder;
  write_spots(folder / "data", 600, 100);
  Bytes labels = data::read(folder / "data/train-labels-idx1-ubyte");
  // Not of the images they stand with: write_spots() has i % 10.
  for (std::size_t i = 8; i < labels.size(); ++i)
    labels[i] = static_cast<std::uint8_t>((i - 8) / 10 % 10);
  data::write(folder / "data/train-labels-idx1-ubyte", labels);
  const Outcome outcome = run(folder, {"inspect", "--data", "data", "--json"});
  ASSERT_EQ(outcome.code, 6) << outcome.err;
  const Json result = Json::parse(outcome.out);
  EXPECT_EQ(result["failed"], true);
  for (const Json& each : result["checks"])
    EXPECT_EQ(each["outcome"] == "fail", each["check"] == "door_probe") << each["found"];
}

TEST(Inspect, DamagedFilesAreListedAndTrainingRefusesThem) {
  if (!data::picture_files_available()) GTEST_SKIP() << "this build has no PNG";
  const Folder folder;
  const std::string set = shapes(folder);
  data::write(folder / "shapes/train/disc/003.png",
              {0x89, 'P', 'N', 'G', '\r', '\n', 0x1a, '\n', 0});
  const Outcome outcome = run(folder, {"inspect", "--data", set});
  EXPECT_EQ(outcome.code, 6) << outcome.out << outcome.err;
  EXPECT_NE(outcome.out.find("shapes/train/disc/003.png: is no whole PNG"), std::string::npos)
      << outcome.out;
  const Outcome train = run(folder, {"train", "--data", set, "--model", "mlp"});
  EXPECT_EQ(train.code, 3);
  EXPECT_NE(train.err.find("shapes/train/disc/003.png"), std::string::npos) << train.err;
}

TEST(Inspect, AFolderOfImagesTrainsAndIsLookedAtThroughTheModel) {
  if (!data::picture_files_available()) GTEST_SKIP() << "this build has no PNG";
  const Folder folder;
  const std::string set = shapes(folder);
  const Outcome train = run(folder, {"train", "--data", set, "--model", "mlp", "--epochs", "2",
                                     "--image-size", "12x10", "--out", "run", "--quiet"});
  ASSERT_EQ(train.code, 0) << train.err;
  const Outcome eval = run(folder, {"eval", "--model-dir", "run", "--data", set, "--json"});
  ASSERT_EQ(eval.code, 0) << eval.err;
  EXPECT_EQ(Json::parse(eval.out)["n"], 8);
  const Outcome outcome = run(folder, {"inspect", "--data", set, "--model-dir", "run", "--split",
                                       "test", "--only", "mispredictions", "--json"});
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  const Json check = Json::parse(outcome.out)["checks"][0];
  EXPECT_EQ(check["outcome"], "pass");
  EXPECT_EQ(check["details"]["highest_losses"].size(), 8u);
  const std::string file = check["details"]["highest_losses"][0]["file"];
  EXPECT_EQ(file.substr(0, 5), "test/");
}

TEST(Inspect, ListsWhatIsSortedAndFiltered) {
  const Outcome outcome =
      run(spots(), {"inspect", "--data", "data", "--sort=-brightness", "--where", "contrast>30",
                    "--where", "contrast<1000", "--top", "5", "--json"});
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  const Json sorted = Json::parse(outcome.out)["sorted"];
  ASSERT_EQ(sorted["images"].size(), 5u);
  for (std::size_t i = 1; i < 5; ++i)
    EXPECT_GE(sorted["images"][i - 1]["brightness"], sorted["images"][i]["brightness"]);
  const Outcome none = run(spots(), {"inspect", "--data", "data", "--where", "contrast<1"});
  EXPECT_EQ(none.code, 0) << none.err;
  EXPECT_EQ(none.out, "0 of 0 images by brightness\n");
}

TEST(Inspect, ExplainsWithoutData) {
  const Outcome outcome = run(spots(), {"inspect", "--explain", "all"});
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  for (const char* part : {"duplicates", "mispredictions", "Source: Northcutt"})
    EXPECT_NE(outcome.out.find(part), std::string::npos) << part;
}

TEST(Inspect, MisuseIsOneSentence) {
  const auto refused = [](const Arguments& more, const char* part) {
    Arguments arguments{"inspect"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    const Outcome outcome = run(spots(), arguments);
    EXPECT_EQ(outcome.code, 2) << outcome.out;
    EXPECT_EQ(outcome.out, "");
    EXPECT_NE(outcome.err.find(part), std::string::npos) << outcome.err;
    EXPECT_EQ(std::count(outcome.err.begin(), outcome.err.end(), '\n'), 1) << outcome.err;
  };
  refused({}, "--data is missing");
  refused({"--data", "data", "--only", "duplicate"}, "'duplicate'");
  refused({"--data", "data", "--sort", "hue"}, "choose from brightness");
  refused({"--data", "data", "--where", "contrast"}, "brightness<20");
  refused({"--data", "data", "--image-size", "0"}, "--image-size 0");
  refused({"--data", "data", "--image-size", "9"}, "stay 8x8; leave it out");
  data::write(spots() / "file", {1});
  refused({"--data", "data", "--out", "file/below"}, "--out file/below: cannot be made");
}

}  // namespace
}  // namespace cucina::cli
