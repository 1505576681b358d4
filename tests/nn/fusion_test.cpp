// Promises of fusion: which neighbours go together, and results and gradients equal to those of the
// layers one by one.
#include "nn/fusion.h"

#include <gtest/gtest.h>

#include <cmath>

#include "core/autograd.h"
#include "core/error.h"
#include "nn/activations.h"
#include "nn/init.h"
#include "nn/layers.h"
#include "nn/models.h"
#include "nn/parameter_arena.h"

namespace cucina::nn {
namespace {

std::vector<std::size_t> groups(const Sequential& net) {
  std::vector<const Module*> layers;
  for (const NamedModule& child : net.children()) layers.push_back(child.module.get());
  return computed_by(layers);
}

TEST(Fusion, ActivationsJoinTheLayerBeforeThemAndReluTheMaximumBehindIt) {
  Sequential net;
  net.make<Conv2d>("0", 1, 2, 3);
  net.make<ReLU>("1");
  net.make<Conv2d>("2", 2, 2, 3);
  net.make<ReLU>("3");
  net.make<MaxPool2d>("4");
  net.make<BatchNorm2d>("5", 2);
  net.make<ReLU>("6");
  net.make<Conv2d>("7", 2, 2, 3);
  net.make<GELU>("8");
  net.make<MaxPool2d>("9");
  net.make<ReLU>("10");
  net.make<Flatten>("11");
  net.make<Linear>("12", 2, 3);
  net.make<GELU>("13");
  EXPECT_EQ(groups(net), (std::vector<std::size_t>{0, 0, 2, 4, 4, 5, 5, 7, 8, 9, 9, 11, 12, 12}));
  const ScopedFusion off(false);
  EXPECT_EQ(groups(net), (std::vector<std::size_t>{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13}));
}

// The result of a model on noise, and behind it the gradients of sum_i y_i (i mod 7 - 3).
std::vector<double> trained(const std::string& name, const ModelSpec& shape, bool fused) {
  const ScopedFusion fusion(fused);
  ModelSpec spec = shape;
  spec.name = name;
  const Model model = make_model(spec, 3);
  const ParameterArena arena(*model.net);
  Tensor x = Tensor::empty({5, spec.h, spec.w, spec.c});
  const RandomStream random(1, "test");
  for (std::int64_t i = 0; i < x.elements(); ++i)
    x.data<float>()[i] = random.normal(0, static_cast<std::uint64_t>(i));
  const Tensor y = model(x);
  const Tensor seed = Tensor::empty(y.shape());
  for (std::int64_t i = 0; i < y.elements(); ++i)
    seed.data<float>()[i] = static_cast<float>(i % 7 - 3);
  backward(y, {}, seed);
  std::vector<double> all = y.to_vector<double>();
  const std::vector<double> gradients = arena.gradients().to_vector<double>();
  all.insert(all.end(), gradients.begin(), gradients.end());
  return all;
}

class FusedModels : public ::testing::TestWithParam<std::string> {};

// f32 gradients through 20 layers with batch norm: some rounding errors of 2^-24 grow.
TEST_P(FusedModels, ComputeWhatTheirLayersDoOneByOne) {
  const ModelSpec spec{.name = "", .h = 12, .w = 12, .c = 3, .classes = 4};
  const std::vector<double> one_by_one = trained(GetParam(), spec, false);
  const std::vector<double> fused = trained(GetParam(), spec, true);
  ASSERT_EQ(fused.size(), one_by_one.size());
  double difference = 0, size = 0;
  for (std::size_t i = 0; i < fused.size(); ++i) {
    difference += (fused[i] - one_by_one[i]) * (fused[i] - one_by_one[i]);
    size += one_by_one[i] * one_by_one[i];
  }
  EXPECT_GT(size, 0);
  EXPECT_LE(std::sqrt(difference / size), 2e-4);
}

INSTANTIATE_TEST_SUITE_P(Fusion, FusedModels,
                         ::testing::Values("lenet5", "bn_cnn", "mlp", "resnet20"),
                         [](const auto& info) { return info.param; });

TEST(Fusion, ALayerThatCannotIsASentence) {
  Flatten flatten;
  try {
    flatten.forward_fused(Tensor::zeros({1, 2}), {.activation = Activation::relu});
    FAIL() << "nothing was thrown";
  } catch (const Error& error) {
    EXPECT_STREQ(error.what(), "Flatten: cannot be fused with relu");
  }
}

}  // namespace
}  // namespace cucina::nn
