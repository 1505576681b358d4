// Promises of load(): what it looks for is what it says, and the real data sets read whole where
// they are.
#include "recipe/data/load.h"

#include <gtest/gtest.h>

#include "recipe/data/digits.h"
#include "tests/data/files.h"
#include "tests/optional_data.h"

namespace cucina::data {
namespace {

TEST(Load, NamesWhatItLookedFor) {
  const Folder folder;
  expect_bad_file([&] { load(folder.path().string()); },
                  {folder.path().string(), "train-images-idx3-ubyte", "test_batch.bin",
                   "cifar-10-batches-bin", "cifar-100-binary", "x_train.npy", "train/CLASS/*.png"});
  expect_bad_file([&] { load((folder / "absent").string()); },
                  {"absent: no such folder", "`digits`"});
  expect_bad_file([&] { load(""); }, {"no such folder"});
  write(folder / "file", {1});
  expect_bad_file([&] { load((folder / "file").string()); },
                  {"is a file; give the folder", ".csv"});
}

TEST(Load, RefusesAFolderWithTwoDataSets) {
  const Folder folder;
  write(folder / "test_batch.bin", {1});
  write(folder / "train-images-idx3-ubyte", {1});
  expect_bad_file([&] { load(folder.path().string()); }, {"holds idx files and CIFAR-10 batches"});
}

TEST(Load, DigitsComeFromTheCacheFolder) {
  const Folder folder;
  const char* before = std::getenv("CUCINA_CACHE");
  const std::string kept = before == nullptr ? "" : before;
  ::setenv("CUCINA_CACHE", folder.path().c_str(), 1);
  expect_bad_file([] { load("digits"); }, {(folder / "digits.csv").string(), "tools/fetch_digits"});
  if (before == nullptr)
    ::unsetenv("CUCINA_CACHE");
  else
    ::setenv("CUCINA_CACHE", kept.c_str(), 1);
}

struct Known {
  const char* folder;
  const char* first_class;
  double mean;  // of all 60,000 training images, published as 0.1307 and 0.2860 of full scale
};

class RealIdx : public testing::TestWithParam<Known> {};

TEST_P(RealIdx, ReadsWhole) {
  const auto folder = optional_data() / GetParam().folder;
  if (!std::filesystem::exists(folder))
    GTEST_SKIP() << GetParam().folder
                 << " is not there; set CUCINA_DATA to the folder that holds it";
  const Dataset set = load(folder.string());
  EXPECT_EQ(set.name, GetParam().folder);
  EXPECT_EQ(set.class_names[0], GetParam().first_class);
  EXPECT_EQ(set.train.n, 55000);
  EXPECT_EQ(set.validation.n, 5000);
  EXPECT_EQ(set.test.n, 10000);
  EXPECT_EQ(set.train.h, 28);
  EXPECT_EQ(set.train.w, 28);
  const ChannelStats stats = channel_stats(set.train);
  EXPECT_NEAR(stats.mean[0] / 255.0, GetParam().mean, 0.001);  // 55,000 of the 60,000 images
}

INSTANTIATE_TEST_SUITE_P(Load, RealIdx,
                         testing::Values(Known{"mnist", "0", 0.1307},
                                         Known{"fashion-mnist", "T-shirt/top", 0.2860}));

TEST(Load, ReadsTheRealCifarWhole) {
  const auto folder = optional_data() / "cifar-10-batches-bin";
  if (!std::filesystem::exists(folder))
    GTEST_SKIP()
        << "cifar-10-batches-bin is not there; set CUCINA_DATA to the folder that holds it";
  const Dataset set = load(folder.string());
  EXPECT_EQ(set.train.n, 45000);
  EXPECT_EQ(set.validation.n, 5000);
  EXPECT_EQ(set.test.n, 10000);
  EXPECT_EQ(class_counts(set.test), std::vector<std::int64_t>(10, 1000));
  const ChannelStats stats = channel_stats(set.train);
  // Published for all 50,000: 0.4914, 0.4822, 0.4465.
  EXPECT_NEAR(stats.mean[0] / 255.0, 0.4914, 0.002);
  EXPECT_NEAR(stats.mean[1] / 255.0, 0.4822, 0.002);
  EXPECT_NEAR(stats.mean[2] / 255.0, 0.4465, 0.002);
}

}  // namespace
}  // namespace cucina::data
