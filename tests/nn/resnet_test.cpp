// Promises of the ResNets: published parameter counts and names, shortcuts by their definition, and
// trained weights that give the published number of right answers and the same logits as PyTorch.
#include "nn/resnet.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <set>

#include "core/autograd.h"
#include "kernels/common/backends.h"
#include "nn/residual.h"
#include "nn/weights.h"
#include "recipe/data/load.h"
#include "recipe/data/loader.h"
#include "tests/error_of.h"
#include "tests/optional_data.h"

namespace cucina::nn {
namespace {

using testing::error_of;

// Table 6 of He et al. rounds these; the exact ones are those of the published weights, and
// torchvision's less the stem and the head that CIFAR changes.
TEST(ResNet, HasThePublishedNumberOfParameters) {
  const std::vector<std::pair<std::string, std::int64_t>> published{
      {"resnet20", 269'722},    {"resnet32", 464'154},    {"resnet44", 658'586},
      {"resnet56", 853'018},    {"resnet20b", 272'474},   {"resnet18", 11'173'962},
      {"resnet34", 21'282'122}, {"resnet50", 23'520'842},
  };
  for (const auto& [name, count] : published) {
    const Model model = build_model({.name = name, .h = 32, .w = 32, .c = 3, .classes = 10});
    EXPECT_EQ(parameter_count(*model.net), count) << name;
    EXPECT_EQ(model.net->output_shape({5, 32, 32, 3}), (Shape{5, 10})) << name;
  }
}

TEST(ResNet, LargeImagesGetTorchvisionsStem) {
  const std::vector<std::pair<std::string, std::int64_t>> published{
      {"resnet18", 11'689'512}, {"resnet34", 21'797'672}, {"resnet50", 25'557'032}};
  for (const auto& [name, count] : published) {
    const Model model = build_model({.name = name, .h = 224, .w = 224, .c = 3, .classes = 1000});
    EXPECT_EQ(parameter_count(*model.net), count) << name;
    EXPECT_EQ(model.net->output_shape({1, 224, 224, 3}), (Shape{1, 1000})) << name;
  }
}

std::set<std::string> names_of(const std::string& name) {
  const Model model = build_model({.name = name, .h = 32, .w = 32, .c = 3, .classes = 10});
  std::set<std::string> names;
  for (const NamedTensor& tensor : model.net->parameters()) names.insert(tensor.name);
  return names;
}

TEST(ResNet, HasTheNamesOfPublishedWeights) {
  for (const auto& [model, expected] :
       std::vector<std::pair<std::string, std::vector<std::string>>>{
           {"resnet20",
            {"conv1.weight", "layer1.0.bn2.bias", "layer3.2.conv2.weight", "linear.bias"}},
           {"resnet20b", {"layer2.0.shortcut.0.weight", "layer2.0.shortcut.1.bias"}},
           {"resnet18", {"layer2.0.downsample.0.weight", "layer4.1.bn1.weight", "fc.weight"}},
           {"resnet50", {"layer1.0.downsample.1.weight", "layer3.5.conv3.weight", "fc.bias"}}}) {
    const std::set<std::string> names = names_of(model);
    for (const std::string& name : expected) EXPECT_EQ(names.count(name), 1u) << name;
  }
  EXPECT_EQ(names_of("resnet20").count("layer2.0.shortcut.0.weight"), 0u);
}

TEST(ResNet, PadChannelsTakesEverySecondPixelBetweenZeros) {
  const Shape shape{2, 5, 4, 3};
  std::vector<float> pixels(static_cast<std::size_t>(shape.elements()));
  for (std::size_t i = 0; i < pixels.size(); ++i) pixels[i] = static_cast<float>(i) + 0.5f;
  PadChannels pad(3, 7, 2);
  const Tensor y = pad.forward(Tensor::from(pixels, shape));
  ASSERT_EQ(y.shape(), (Shape{2, 3, 2, 7}));
  ASSERT_EQ(pad.output_shape(shape), y.shape());
  const std::vector<float> values = y.to_vector<float>();
  std::size_t i = 0;
  for (int n = 0; n < 2; ++n)
    for (int p = 0; p < 3; ++p)
      for (int q = 0; q < 2; ++q)
        for (int c = 0; c < 7; ++c, ++i) {
          const bool inside = c >= 2 && c < 5;
          const auto from = static_cast<std::size_t>(((n * 5 + 2 * p) * 4 + 2 * q) * 3 + c - 2);
          EXPECT_EQ(values[i], inside ? pixels[from] : 0.0f) << n << p << q << c;
        }
  EXPECT_NE(error_of([] { PadChannels(3, 6, 2); }).find("3 channels to 6"), std::string::npos);
}

TEST(ResNet, AShortcutOfAnotherShapeIsASentence) {
  Residual block;
  block.make<Conv2d>("conv1", 3, 4, 3, Conv2dOptions{.pad = 1});
  EXPECT_NE(error_of([&] {
              block.output_shape({1, 8, 8, 3});
            }).find("shortcut (1, 8, 8, 3)"),
            std::string::npos);
}

TEST(ResNet, AResidualAddsTheShortcutBeforeTheRelu) {
  Residual block;
  block.make<Flatten>("flatten");  // of rows: changes nothing
  const Tensor x = Tensor::from(std::vector<float>{-1, 2, -3, 4}, {2, 2});
  EXPECT_EQ(block.forward(x).to_vector<float>(), (std::vector<float>{0, 4, 0, 8}));
}

// --- trained weights -------------------------------------------------------------------------

constexpr double kImageNetMean[] = {0.485, 0.456, 0.406}, kImageNetStd[] = {0.229, 0.224, 0.225};

data::ChannelStats imagenet_statistics() {
  data::ChannelStats statistics;
  for (const double mean : kImageNetMean) statistics.mean.push_back(255 * mean);
  for (const double deviation : kImageNetStd) statistics.stddev.push_back(255 * deviation);
  return statistics;
}

class TrainedResNet : public ::testing::TestWithParam<std::tuple<Backend, int>> {
 protected:
  void SetUp() override {
    for (const char* part : {"cifar-10-batches-bin/test_batch.bin",
                             "resnet/resnet20-logits-test1000-f64.safetensors"}) {
      if (!std::filesystem::exists(optional_data() / part))
        GTEST_SKIP() << part << " is not there; set CUCINA_DATA to the folder that holds it";
    }
  }
};

TEST_P(TrainedResNet, GivesPyTorchsLogits) {
  const auto& [backend, images] = GetParam();
  const ScopedBackend scoped(backend);
  Model model = build_model({.name = "resnet20", .h = 32, .w = 32, .c = 3, .classes = 10});
  load_weights(*model.net,
               read_safetensors(optional_data() / "resnet/resnet20-cifar10.safetensors"));
  const data::Dataset cifar = data::load((optional_data() / "cifar-10-batches-bin").string());
  const Safetensors published =
      read_safetensors(optional_data() / "resnet/resnet20-logits-test1000-f64.safetensors");
  const auto bytes = published.bytes(*published.find("logits_f64"));
  std::vector<double> expected(bytes.size() / sizeof(double));
  std::memcpy(expected.data(), bytes.data(), bytes.size());

  const ScopedEvaluation evaluation(*model.net);
  const NoGrad no_grad;
  const data::Loader loader(cifar.test, imagenet_statistics(), images, Device::cpu);
  const std::vector<float> logits = model(loader.in_order(0).images).to_vector<float>();
  ASSERT_EQ(logits.size(), static_cast<std::size_t>(10 * images));
  for (std::size_t i = 0; i < logits.size(); ++i)
    ASSERT_NEAR(logits[i], expected[i], 1e-4) << "image " << i / 10 << ", class " << i % 10;
}

// Our kernels run under simt here, so they get fewer images.
INSTANTIATE_TEST_SUITE_P(Backends, TrainedResNet,
                         ::testing::Values(std::tuple{Backend::vendor, 1000},
                                           std::tuple{Backend::hand, 200}),
                         [](const auto& test) {
                           return std::string(name(std::get<0>(test.param)));
                         });

}  // namespace
}  // namespace cucina::nn
