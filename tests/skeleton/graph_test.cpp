// Promises of a training's steps as CUDA graphs; they need a GPU.
#include <gtest/gtest.h>

#include <string>

#include "core/cuda_runtime.h"
#include "core/error.h"
#include "nn/weights.h"
#include "recipe/skeleton/fingerprint.h"
#include "recipe/skeleton/trainer.h"

namespace cucina::skeleton {
namespace {

data::ImageSet noise(std::int64_t n) {
  data::ImageSet set{.n = n, .h = 28, .w = 28, .c = 1, .classes = 10, .pixels = {}, .labels = {}};
  const RandomStream random(1, "test");
  for (std::int64_t i = 0; i < n; ++i) set.labels.push_back(static_cast<std::int32_t>(i % 10));
  for (std::uint64_t i = 0; i < static_cast<std::uint64_t>(n) * set.image_bytes(); ++i)
    set.pixels.push_back(static_cast<std::uint8_t>(random.below(0, i, 256)));
  return set;
}

class Graphs : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!cuda_available()) GTEST_SKIP() << "no GPU on this machine: this test captures a graph";
  }
};

// 45 images in batches of 16: the last one of an epoch is smaller.
const data::Dataset& images() {
  static const data::Dataset made{.name = "noise",
                                  .class_names = {},
                                  .train = noise(45),
                                  .validation = noise(20),
                                  .test = {},
                                  .sha256 = ""};
  return made;
}

// What a training leaves behind: parameters, running statistics and counts.
struct Left {
  std::string sha;
  std::vector<std::int32_t> counts;
  double validation_loss;
};

Left train(const std::string& name, TrainOptions options) {
  nn::Model model = nn::make_model(name, 28, 28, 1, 10, 1);
  options.epochs = 3;
  options.batch_size = 16;
  options.device = Device::cuda;
  Trainer trainer(model, images(), options);
  const TrainResult result = trainer.run({});
  EXPECT_EQ(trainer.graph_refusal(), "");
  Left left{fingerprint(*model.net), {}, result.validation->loss};
  for (const nn::NamedTensor& buffer : model.net->buffers())
    if (buffer.tensor.dtype() == DType::i32)
      left.counts.push_back(static_cast<std::int32_t>(buffer.tensor.item()));
  return left;
}

void expect_same_bits(const std::string& name, TrainOptions options) {
  options.graph = true;
  const Left graph = train(name, options);
  options.graph = false;
  const Left launches = train(name, options);
  EXPECT_EQ(graph.sha, launches.sha) << name;
  EXPECT_EQ(graph.counts, launches.counts) << name;
  EXPECT_EQ(graph.validation_loss, launches.validation_loss) << name;
}

TEST_F(Graphs, GiveTheBitsOfLaunches) {
  expect_same_bits("lenet5", {});
  expect_same_bits("bn_cnn", {});
  expect_same_bits("mnist-dropout2d", {.optimizer = "sgd", .momentum = 0.9});
}

TEST_F(Graphs, FollowTheScheduleAndWhatIsAroundAStep) {
  expect_same_bits(
      "lenet5", {.clip_norm = 0.1, .ema = 0.9, .schedule = {.kind = optim::ScheduleKind::cosine}});
  expect_same_bits("lenet5", {.accumulate = 3, .swa_start = 4, .lookahead = 2});
  expect_same_bits(
      "lenet5",
      {.dtype = DType::bf16, .augmentation = {.crop = 2, .rotate = 10}, .mixing = {.mixup = 0.4f}});
  expect_same_bits("lenet5", {.optimizer = "muon", .learning_rate = 0.01});
}

TEST_F(Graphs, CopiesToTheHostAreRefusedWhileOneIsRecorded) {
  const Tensor x = Tensor::full({4}, 2, DType::f32, Device::cuda);
  try {
    const CudaGraph graph([&] { x.to(Device::cpu); });
    FAIL() << "nothing was thrown";
  } catch (const Error& error) {
    EXPECT_STREQ(error.what(), "a copy of 16 bytes from cuda to cpu cannot be part of a graph");
  }
  EXPECT_EQ(x.to_vector<float>(), (std::vector<float>{2, 2, 2, 2})) << "the stream still works";
}

}  // namespace
}  // namespace cucina::skeleton
