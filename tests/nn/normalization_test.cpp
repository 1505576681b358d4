// LayerNorm's and GroupNorm's promises: PyTorch's names, shapes, and what they refuse.
#include "nn/normalization.h"

#include <gtest/gtest.h>

#include "nn/init.h"
#include "tests/error_of.h"

namespace cucina::nn {
namespace {

using testing::error_of;

std::vector<std::string> names(const Module& module) {
  std::vector<std::string> names;
  for (const NamedTensor& parameter : module.parameters()) names.push_back(parameter.name);
  return names;
}

TEST(Normalization, ParametersAreNamedAsInPyTorchAndStartAsOneAndZero) {
  LayerNorm layer(4);
  GroupNorm group(2, 4);
  const Tensor x = Tensor::from<float>({1, 3, 5, 9}, {1, 1, 1, 4});
  for (Module* module : std::initializer_list<Module*>{&layer, &group}) {
    EXPECT_EQ(names(*module), (std::vector<std::string>{"weight", "bias"}));
    initialise(*module, 1);
    EXPECT_EQ(module->parameters()[0].tensor.to_vector<float>(), (std::vector<float>{1, 1, 1, 1}));
    EXPECT_EQ(module->parameters()[1].tensor.to_vector<float>(), (std::vector<float>{0, 0, 0, 0}));
    module->parameters()[1].tensor.fill(7);
    const std::vector<float> y = (*module)(x).to_vector<float>();
    EXPECT_NEAR(y[0] + y[1] + y[2] + y[3], 28, 1e-5);
    module->parameters()[0].tensor.fill(0);
    EXPECT_EQ((*module)(x).to_vector<float>(), (std::vector<float>{7, 7, 7, 7}));
  }
  EXPECT_EQ(names(LayerNorm(4, 1e-5, false)), std::vector<std::string>());
  EXPECT_EQ(names(GroupNorm(2, 4, 1e-5, false)), std::vector<std::string>());
}

TEST(Normalization, GroupNormsGroupsAreItsFirstArgument) {
  GroupNorm pairs(2, 4, 1e-5, false);
  const std::vector<float> y =
      pairs(Tensor::from<float>({0, 2, 100, 300}, {1, 1, 1, 4})).to_vector<float>();
  const std::vector<float> wanted{-1, 1, -1, 1};
  for (std::size_t i = 0; i < 4; ++i) EXPECT_NEAR(y[i], wanted[i], 1e-4) << i;
}

TEST(Normalization, ShapesStayAndDescriptionsSayWhatItIs) {
  const LayerNorm layer(4);
  const GroupNorm group(2, 4, 1e-5, false);
  EXPECT_EQ(layer.output_shape({2, 3, 4}), (Shape{2, 3, 4}));
  EXPECT_EQ(group.output_shape({2, 3, 3, 4}), (Shape{2, 3, 3, 4}));
  EXPECT_EQ(layer.describe(), "LayerNorm 4");
  EXPECT_EQ(group.describe(), "GroupNorm 2 of 4, not affine");
}

TEST(Normalization, RefusesWhatDoesNotFit) {
  EXPECT_EQ(error_of([] { LayerNorm(0); }), "LayerNorm: 0 features; at least 1 is needed");
  EXPECT_EQ(error_of([] { GroupNorm(3, 4); }),
            "GroupNorm: 3 groups of 4 channels; groups must divide channels");
  EXPECT_EQ(error_of([] {
              LayerNorm(4).output_shape({2, 3});
            }),
            "LayerNorm: x has shape (2, 3) but its last dimension must be 4");
  EXPECT_EQ(error_of([] {
              GroupNorm(2, 4).output_shape({2, 4});
            }),
            "GroupNorm: x has shape (2, 4) of rank 2; rank 4 is needed");
  EXPECT_EQ(error_of([] {
              GroupNorm(2, 4).output_shape({2, 3, 3, 5});
            }),
            "GroupNorm: x has 5 channels but the layer takes 4");
}

}  // namespace
}  // namespace cucina::nn
