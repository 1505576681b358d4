// Promises of the fast networks: published names, sizes and costs; freezing; what summary counts.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "core/autograd.h"
#include "kernels/softmax_cross_entropy/softmax_cross_entropy.h"
#include "nn/fusion.h"
#include "nn/models.h"
#include "nn/parameter_arena.h"
#include "nn/residual.h"
#include "nn/summary.h"
#include "tests/error_of.h"

namespace cucina::nn {
namespace {

using testing::error_of;

Model home(const std::string& name) {
  const KnownModel& known = known_model(name);
  return build_model({.name = name,
                      .h = known.image[0],
                      .w = known.image[1],
                      .c = known.image[2],
                      .classes = known.classes});
}

std::vector<std::string> parameter_names(const Model& model) {
  std::vector<std::string> names;
  for (const NamedTensor& each : model.net->parameters()) names.push_back(each.name);
  return names;
}

TEST(SmallNets, HaveThePublishedLayers) {
  const Model fast = home("mnist-fast");
  EXPECT_EQ(parameter_names(fast),
            (std::vector<std::string>{"conv1.weight", "conv1.bias", "conv2.weight", "conv2.bias",
                                      "fc1.weight", "fc1.bias", "fc2.weight", "fc2.bias"}));
  // 5x5x24, 3x3x24x32, 800x256 and 256x10, with biases.
  EXPECT_EQ(parameter_count(*fast.net), 624 + 6'944 + 205'056 + 2'570);
  EXPECT_EQ(fast.net->output_shape({2, 28, 28, 1}), (Shape{2, 10}));

  const Model example = home("mnist-dropout2d");
  EXPECT_EQ(parameter_names(example), parameter_names(fast));
  EXPECT_EQ(parameter_count(*example.net), 1'199'882);

  const Model page = home("resnet9");
  // Page's 6,573,120: nine weight matrices without biases, and batch norm.
  EXPECT_EQ(parameter_count(*page.net), 6'573'120);
  const std::vector<std::string> names = parameter_names(page);
  for (const char* name : {"prep.conv.weight", "layer1.residual.res2.bn.bias",
                           "layer3.residual.res1.conv.weight", "linear.weight"})
    EXPECT_EQ(std::count(names.begin(), names.end(), name), 1) << name;
}

TEST(SmallNets, Airbench94HasItsScriptsNamesSizeAndCost) {
  const Model model = home("airbench94");
  // The table's 1.97 M: 312 of the whitening, six convolutions, six norms of weight and bias, head.
  EXPECT_EQ(parameter_count(*model.net),
            312 + 13'824 + 36'864 + 147'456 + 3 * 589'824 + 2 * (2 * 64 + 4 * 256) + 2'560);
  const std::vector<std::string> names = parameter_names(model);
  for (const char* name : {"whiten.weight", "whiten.bias", "layers.1.conv1.weight",
                           "layers.3.norm2.bias", "head.weight"})
    EXPECT_EQ(std::count(names.begin(), names.end(), name), 1) << name;
  EXPECT_NEAR(costs(model).flops / 0.236e9, 1, 0.005);  // 0.236 GFLOP, as published
}

TEST(SmallNets, Airbench94BeginsWithFiltersThatPassTheirInputsOn) {
  const Model model = make_model("airbench94", 32, 32, 3, 10, 1);
  const Model other = make_model("airbench94", 32, 32, 3, 10, 2);
  const auto weight = [](const Model& of, const std::string& name) {
    for (const NamedTensor& each : of.net->parameters())
      if (each.name == name) return each.tensor;
    return Tensor();
  };
  const Tensor conv = weight(model, "layers.1.conv1.weight");  // 24 inputs, 64 filters
  const auto first = conv.rows(0, 24).to_vector<float>(),
             rest = conv.rows(24, 64).to_vector<float>();
  EXPECT_EQ(std::count(first.begin(), first.end(), 1.0f), 24);
  EXPECT_EQ(std::count(first.begin(), first.end(), 0.0f), 24 * (9 * 24 - 1));
  EXPECT_NE(rest, weight(other, "layers.1.conv1.weight").rows(24, 64).to_vector<float>());
  double sum = 0, squares = 0;
  for (const double value : model.head->weight().to_vector<double>()) {
    sum += value;
    squares += value * value;
  }
  EXPECT_NEAR((squares - sum * sum / 2560) / 2559, 1, 1e-4);
}

TEST(SmallNets, FrozenParametersKeepTheirValuesAndLieBehindTheOthers) {
  const Model model = make_model("airbench94", 12, 12, 1, 4, 1);
  const ParameterArena arena(*model.net);
  const auto frozen = [](const ParameterArena::Slot& slot) {
    return !slot.parameter.requires_grad();
  };
  const auto& slots = arena.slots();
  EXPECT_EQ(std::count_if(slots.begin(), slots.end(), frozen), 7);  // whitening, six norms' weights
  EXPECT_TRUE(std::is_partitioned(slots.begin(), slots.end(),
                                  [&](const auto& slot) { return !frozen(slot); }));
  const auto first = std::find_if(slots.begin(), slots.end(), frozen);
  EXPECT_EQ(first->offset, arena.segments().back().end);
  EXPECT_EQ(first->name, "whiten.weight");

  arena.clear_gradients();
  std::vector<float> pixels(2 * 12 * 12);
  for (std::size_t i = 0; i < pixels.size(); ++i) pixels[i] = std::sin(static_cast<float>(i));
  const auto labels = Tensor::from<std::int32_t>({1, 3}, {2});
  backward(softmax_cross_entropy(model(Tensor::from(pixels, {2, 12, 12, 1})), labels).loss);
  for (const auto& slot : slots)
    EXPECT_EQ(slot.parameter.grad().defined(), !frozen(slot)) << slot.name;
}

TEST(SmallNets, FreezingIsByNameOrByWhatIsBelow) {
  const Model model = build_model({.name = "resnet20", .h = 8, .w = 8, .c = 3, .classes = 10});
  model.net->freeze("layer1");
  model.net->freeze("bn1.weight");
  for (const NamedTensor& each : model.net->parameters()) {
    const bool expected = each.name.starts_with("layer1.") || each.name == "bn1.weight";
    EXPECT_EQ(each.tensor.requires_grad(), !expected) << each.name;
  }
  EXPECT_NE(error_of([&] { model.net->freeze("layer"); }).find("'layer'"), std::string::npos);
}

TEST(SmallNets, CostsArePublishedOnesAndSummaryAddsUpToThem) {
  // ResNet-20 is known for 41 M multiply-adds, ResNet-18 for 1.8 G (He et al. 2016, table 1).
  EXPECT_NEAR(costs(home("resnet20")).flops / 2e6, 41, 1);
  EXPECT_NEAR(costs(home("resnet18")).flops / 2e9, 1.8, 0.05);
  const Model model = home("lenet5");
  const Costs all = costs(model);
  EXPECT_EQ(all.parameters, 61'706);
  // Twice the products: 28x28x6 of 25, 10x10x16 of 150, 400x120, 120x84 and 84x10.
  EXPECT_EQ(all.flops, 2.0 * (117'600 + 240'000 + 48'000 + 10'080 + 840));
  // Convolutions and pools: 4704 + 1176 + 1600 + 400; then 120 + 84 + 10. What relu makes is never
  // in memory on its own; layers one by one keep it.
  EXPECT_EQ(all.activation_bytes, 4 * (4'704 + 1'176 + 1'600 + 400 + 120 + 84 + 10));
  {
    const ScopedFusion off(false);
    EXPECT_EQ(costs(model).activation_bytes, 4 * (9'408 + 1'176 + 3'200 + 400 + 240 + 168 + 10));
  }
  const std::string text = summary(model);
  for (const char* part : {"conv2", "Conv2d 6->16, 5x5", "(1, 10, 10, 16)", "2416", "480 k",
                           "833 k", "32.4 k", "total", "ReLU, in pool1", "ReLU, in fc1"})
    EXPECT_NE(text.find(part), std::string::npos) << part << " in\n" << text;
}

TEST(SmallNets, SummaryShowsWhatIsInsideABlock) {
  const std::string text =
      summary(build_model({.name = "resnet20", .h = 32, .w = 32, .c = 3, .classes = 10}));
  for (const char* part :
       {"layer2.0.conv1", "layer2.0.shortcut", "PadChannels 16->32, stride 2", "layer3.2.bn2"})
    EXPECT_NE(text.find(part), std::string::npos) << part << " in\n" << text;
}

TEST(SmallNets, NumbersAreShortInASummary) {
  EXPECT_EQ(in_thousands(0), "");
  EXPECT_EQ(in_thousands(999), "999");
  EXPECT_EQ(in_thousands(999.7), "1 k");
  EXPECT_EQ(in_thousands(236.4e6), "236 M");
  EXPECT_EQ(in_thousands(1.5e9), "1.5 G");
}

TEST(SmallNets, AResidualWithoutReluIsTheSumItself) {
  Residual block(/*relu=*/false);
  block.make<Scale>("scale", -3.0);
  const NoGrad no_grad;
  EXPECT_EQ(block(Tensor::from<float>({1, -2}, {1, 2})).to_vector<float>(),
            (std::vector<float>{-2, 4}));
}

}  // namespace
}  // namespace cucina::nn
