// Promises of checkpoints: a training that goes on from one ends with the bits of an unbroken one,
// and what is damaged or another's is refused before anything is changed.
#include "recipe/skeleton/checkpoint.h"

#include <gtest/gtest.h>

#include <functional>

#include "core/error.h"
#include "nn/models.h"
#include "recipe/skeleton/fingerprint.h"
#include "recipe/skeleton/trainer.h"
#include "tests/data/files.h"
#include "tests/error_of.h"

namespace cucina::skeleton {
namespace {

using cucina::testing::error_of;
using data::Folder;

data::ImageSet noise(std::int64_t n, std::uint64_t seed) {
  data::ImageSet set{.n = n, .h = 8, .w = 8, .c = 1, .classes = 3, .pixels = {}, .labels = {}};
  const RandomStream random(seed, "test");
  for (std::int64_t i = 0; i < n; ++i) {
    set.labels.push_back(static_cast<std::int32_t>(i % 3));
    for (std::uint64_t j = 0; j < 64; ++j)
      set.pixels.push_back(
          static_cast<std::uint8_t>(random.below(0, static_cast<std::uint64_t>(i) * 64 + j, 100) +
                                    50 * static_cast<unsigned>(i % 3)));
  }
  return set;
}

const data::Dataset& dataset() {
  static const data::Dataset data{.name = "noise",
                                  .class_names = {"a", "b", "c"},
                                  .train = noise(45, 1),
                                  .validation = noise(12, 2),
                                  .test = noise(3, 3),
                                  .sha256 = ""};
  return data;
}

// A model with everything that a checkpoint must keep: batch norm's buffers and dropout's numbers.
nn::Model new_model() {
  return nn::make_model({.name = "bn_cnn", .h = 8, .w = 8, .c = 1, .classes = 3, .dropout = 0.3},
                        1);
}

TrainOptions options(const std::string& optimizer) {
  return {.epochs = 2,
          .batch_size = 16,
          .optimizer = optimizer,
          .learning_rate = 1e-2,
          .momentum = optimizer == "sgd" ? 0.9 : 0,
          .weight_decay = 0.01,
          .clip_norm = 1,
          .ema = optimizer == "adam" ? 0.9 : 0,
          .schedule = {.kind = optim::ScheduleKind::cosine},
          .checkpoint_every = 1};
}

struct Ran {
  std::string fingerprint;
  TrainResult result;
};

Ran train(const TrainOptions& options, const CheckpointFolder* checkpoints,
          const std::optional<std::filesystem::path>& from = std::nullopt) {
  nn::Model model = new_model();
  Trainer trainer(model, dataset(), options);
  if (from) trainer.resume(Checkpoint::read(*from));
  const TrainResult result = trainer.run({.checkpoints = checkpoints});
  return {.fingerprint = fingerprint(*model.net), .result = result};
}

std::vector<std::filesystem::path> files(const std::filesystem::path& folder) {
  std::vector<std::filesystem::path> all;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) all.push_back(entry.path());
  std::sort(all.begin(), all.end());
  return all;
}

class Optimizers : public ::testing::TestWithParam<std::string> {};

TEST_P(Optimizers, EveryCheckpointLeadsToTheSameBits) {
  const Folder folder;
  const TrainOptions all = options(GetParam());
  const CheckpointFolder checkpoints(folder / "ckpt", 100, {});
  const Ran unbroken = train(all, &checkpoints);
  EXPECT_EQ(unbroken.fingerprint, train(all, nullptr).fingerprint);
  EXPECT_EQ(unbroken.result.steps, 6);
  const auto saved = files(folder / "ckpt");
  ASSERT_EQ(saved.size(), 6u);  // 45 images in batches of 16: 3 steps an epoch
  for (const auto& path : saved) {
    const Ran resumed = train(all, nullptr, path);
    EXPECT_EQ(resumed.fingerprint, unbroken.fingerprint) << path;
    EXPECT_EQ(resumed.result.steps, 6);
    EXPECT_EQ(resumed.result.validation->loss, unbroken.result.validation->loss) << path;
  }
}

INSTANTIATE_TEST_SUITE_P(Checkpoint, Optimizers, ::testing::Values("adam", "sgd", "muon"),
                         [](const auto& info) { return info.param; });

TEST(Checkpoint, TwoEpochsAreOneAndOneMore) {
  const Folder folder;
  const CheckpointFolder checkpoints(folder / "ckpt", 2, {});
  TrainOptions both = options("adam");
  both.schedule.total_steps = 6;
  TrainOptions one = both;
  one.epochs = 1;
  train(one, &checkpoints);
  ASSERT_EQ(files(folder / "ckpt").size(), 2u);
  EXPECT_EQ(checkpoints.newest()->filename(), "step-000000000003.safetensors");
  EXPECT_EQ(train(both, nullptr, checkpoints.newest()).fingerprint,
            train(both, nullptr).fingerprint);
}

// A checkpoint of the training above and what it would be restored to.
struct Fixture {
  Fixture() : trainer(model, dataset(), options("adam")) {
    const CheckpointFolder checkpoints(folder / "ckpt", 1, {{"train.seed", "1"}});
    nn::Model other = new_model();
    Trainer(other, dataset(), options("adam")).run({.checkpoints = &checkpoints});
    path = checkpoints.newest().value();
  }
  Folder folder;
  nn::Model model = new_model();
  Trainer trainer;
  std::filesystem::path path;
};

TEST(Checkpoint, KeepsSettingsPositionAndPyTorchsNames) {
  const Fixture fixture;
  const Checkpoint checkpoint = Checkpoint::read(fixture.path);
  EXPECT_EQ(checkpoint.settings, (Settings{{"train.seed", "1"}}));
  EXPECT_EQ(checkpoint.position.step, 6);
  EXPECT_LT(checkpoint.position.best_loss, 10);
  EXPECT_NE(checkpoint.file.find("model/bn1.running_mean"), nullptr);
  EXPECT_NE(checkpoint.file.find("optim/conv1.weight/exp_avg_sq"), nullptr);
}

TEST(Checkpoint, EveryChangedByteIsNoticed) {
  const Fixture fixture;
  const data::Bytes whole = data::read(fixture.path);
  for (std::size_t i = 0; i < whole.size(); i += 97) {
    data::Bytes damaged = whole;
    damaged[i] ^= 0x10;
    data::write(fixture.path, damaged);
    EXPECT_THROW(Checkpoint::read(fixture.path), Error) << "byte " << i;
  }
  for (const std::size_t size :
       {std::size_t{0}, std::size_t{7}, whole.size() / 2, whole.size() - 1}) {
    data::write(fixture.path, {whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(size)});
    EXPECT_THROW(Checkpoint::read(fixture.path), Error) << size << " bytes";
  }
}

TEST(Checkpoint, OfAnotherOptimizerOrModelChangesNothing) {
  Fixture fixture;
  const Checkpoint checkpoint = Checkpoint::read(fixture.path);
  nn::Model model = new_model();
  const std::string before = fingerprint(*model.net);
  Trainer sgd(model, dataset(), options("sgd"));
  EXPECT_NE(error_of([&] { sgd.resume(checkpoint); }).find("momentum_buffer"), std::string::npos);
  EXPECT_EQ(fingerprint(*model.net), before);

  nn::Model lenet = nn::make_model("linear", 8, 8, 1, 3, 1);
  const std::string untouched = fingerprint(*lenet.net);
  Trainer other(lenet, dataset(), options("adam"));
  EXPECT_NE(error_of([&] { other.resume(checkpoint); }).find("another model"), std::string::npos);
  EXPECT_EQ(fingerprint(*lenet.net), untouched);
}

TEST(Checkpoint, AModelFileIsNoCheckpoint) {
  const Folder folder;
  nn::write_safetensors(folder / "step-000000000001.safetensors", {}, {{"format", "pt"}});
  EXPECT_NE(error_of([&] {
              Checkpoint::read(folder / "step-000000000001.safetensors");
            }).find("no checkpoint of cucina"),
            std::string::npos);
}

TEST(CheckpointFolder, TheNewestHasTheMostStepsAndOtherFilesAreLeftAlone) {
  const Folder folder;
  const CheckpointFolder checkpoints(folder.path(), 1, {});
  EXPECT_FALSE(checkpoints.newest());
  for (const char* name : {"step-000000000009.safetensors", "step-000000000010.safetensors",
                           "step-1x.safetensors", "notes.txt", "step-.safetensors"})
    data::write(folder / name, {1});
  EXPECT_EQ(checkpoints.newest()->filename(), "step-000000000010.safetensors");
  EXPECT_EQ(error_of([&] { CheckpointFolder(folder.path(), 0, {}); }),
            "checkpoints: 0 are to be kept; keep at least 1");
}

}  // namespace
}  // namespace cucina::skeleton
