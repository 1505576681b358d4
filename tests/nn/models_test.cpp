// Promises of modules and models: names and counts as published, modes, shapes, and initial values.
#include "nn/models.h"

#include <gtest/gtest.h>

#include <cmath>

#include "core/autograd.h"
#include "core/error.h"
#include "nn/init.h"
#include "nn/parameter_arena.h"
#include "nn/summary.h"

namespace cucina::nn {
namespace {

std::vector<std::string> names(const std::vector<NamedTensor>& tensors) {
  std::vector<std::string> all;
  for (const NamedTensor& tensor : tensors) all.push_back(tensor.name);
  return all;
}

std::string error_of(const std::function<void()>& action) {
  try {
    action();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::usage);
    return error.what();
  }
  return "nothing was thrown";
}

TEST(Models, Lenet5HasThePublishedParameters) {
  const Model model = make_model("lenet5", 28, 28, 1, 10, 1);
  EXPECT_EQ(parameter_count(*model.net), 61'706);
  EXPECT_EQ(names(model.net->parameters()),
            (std::vector<std::string>{"conv1.weight", "conv1.bias", "conv2.weight", "conv2.bias",
                                      "fc1.weight", "fc1.bias", "fc2.weight", "fc2.bias",
                                      "fc3.weight", "fc3.bias"}));
  EXPECT_EQ(model.net->output_shape({7, 28, 28, 1}), (Shape{7, 10}));
  EXPECT_FALSE(has_batch_norm(*model.net));
}

TEST(Models, Lenet5FitsTheSmallDigits) {
  const Model model = make_model("lenet5", 8, 8, 1, 10, 1);
  EXPECT_EQ(model.net->output_shape({3, 8, 8, 1}), (Shape{3, 10}));
  // The second convolution is padded, so 2x2 pixels are left of the image.
  EXPECT_EQ(model.net->parameters()[4].tensor.shape(), (Shape{120, 2 * 2 * 16}));
}

TEST(Models, BatchNormHasPyTorchsNamesAndNoSpuriousBias) {
  const Model model = make_model("bn_cnn", 8, 8, 3, 10, 1);
  EXPECT_EQ(names(model.net->parameters()),
            (std::vector<std::string>{"conv1.weight", "bn1.weight", "bn1.bias", "conv2.weight",
                                      "bn2.weight", "bn2.bias", "conv3.weight", "bn3.weight",
                                      "bn3.bias", "fc.weight", "fc.bias"}));
  EXPECT_EQ(names(model.net->buffers())[2], "bn1.num_batches_tracked");
  EXPECT_EQ(names(model.net->buffers())[3], "bn2.running_mean");
  EXPECT_EQ(model.net->buffers().size(), 9u);
  EXPECT_TRUE(has_batch_norm(*model.net));
}

TEST(Models, TheSummaryListsLayersShapesAndTheTotal) {
  const std::string text = summary(make_model("lenet5", 28, 28, 1, 10, 1));
  for (const char* part : {"conv1", "Conv2d 1->6, 5x5, pad 2", "(1, 28, 28, 6)", "156", "(1, 400)",
                           "48120", "total", "61706"})
    EXPECT_NE(text.find(part), std::string::npos) << part << " in\n" << text;
}

TEST(Models, WrongSpecsAreSentences) {
  EXPECT_EQ(error_of([] {
              make_model("lenet", 28, 28, 1, 10, 1);
            }).find("model 'lenet' is unknown; choose one of lenet5, bn_cnn, mlp, linear"),
            0u);
  EXPECT_NE(error_of([] { make_model("lenet5", 3, 28, 1, 10, 1); }).find("3x28x1"),
            std::string::npos);
  EXPECT_NE(error_of([] { make_model("linear", 3, 3, 1, 0, 1); }).find("0 classes"),
            std::string::npos);
  EXPECT_NE(error_of([] {
              make_model({.name = "mlp", .h = 2, .w = 2, .c = 1, .classes = 2, .dropout = 0.5}, 1);
            }).find("no dropout"),
            std::string::npos);
  EXPECT_NE(error_of([] {
              make_model({.name = "bn_cnn", .h = 2, .w = 2, .c = 1, .classes = 2, .dropout = 1}, 1);
            }).find("dropout is 1"),
            std::string::npos);
}

TEST(Modules, ChildrenNeedDistinctNamesWithoutDots) {
  Sequential net;
  net.make<ReLU>("relu");
  EXPECT_NE(error_of([&] { net.make<ReLU>("relu"); }).find("two children"), std::string::npos);
  EXPECT_NE(error_of([&] { net.make<ReLU>("a.b"); }).find("a.b"), std::string::npos);
  EXPECT_NE(error_of([&] { net.make<ReLU>(""); }).find("''"), std::string::npos);
}

TEST(Modules, WrongShapesAreFoundWithoutComputing) {
  EXPECT_EQ(error_of([] {
              Linear(4, 2).output_shape({1, 5});
            }),
            "Linear: x has 5 columns but the layer takes 4");
  EXPECT_EQ(error_of([] {
              Conv2d(3, 2, 3).output_shape({1, 9, 9, 4});
            }),
            "Conv2d: x has 4 channels but the layer takes 3");
  EXPECT_NE(error_of([] {
              Conv2d(3, 2, 5).output_shape({1, 4, 9, 3});
            }).find("window of 5"),
            std::string::npos);
  EXPECT_NE(error_of([] { Linear(0, 2); }).find("0 inputs"), std::string::npos);
  EXPECT_EQ(error_of([] { Conv2d(6, 4, 3, {.groups = 3}); }),
            "Conv2d: 3 groups do not divide 6 inputs and 4 outputs");
  EXPECT_EQ(error_of([] { Conv2d(6, 4, 3, {.dilation = 0}); }),
            "Conv2d: dilation 0 and groups 1; both must be at least 1");
  EXPECT_EQ(error_of([] {
              Conv2d(6, 6, 3, {.pad = 1, .dilation = 4}).output_shape({1, 6, 9, 6});
            }),
            "Conv2d: a window of 9 exceeds the padded image of 8; take a larger image or more "
            "padding");
  EXPECT_EQ(Conv2d(6, 6, 3, {.dilation = 2, .groups = 6}).describe(),
            "Conv2d 6->6, 3x3, dilation 2, groups 6");
}

TEST(Modules, EvaluationEndsWithEachModuleInItsOldMode) {
  const Model model = make_model("bn_cnn", 8, 8, 1, 10, 1);
  Module& frozen = *model.net->children()[1].module;
  frozen.train(false);
  {
    const ScopedEvaluation evaluation(*model.net);
    for (Module* each : model.net->modules()) EXPECT_FALSE(each->training());
  }
  EXPECT_TRUE(model.net->training());
  EXPECT_TRUE(model.net->children()[0].module->training());
  EXPECT_TRUE(model.net->children()[4].module->training());
  EXPECT_FALSE(frozen.training());
}

TEST(Init, KaimingHasItsVarianceAndEveryParameterItsOwnNumbers) {
  const auto weight = Tensor::empty({64, 8, 8, 8});  // fan_in is 8 * 8 * 8
  for (const Distribution distribution : {Distribution::normal, Distribution::uniform}) {
    for (const double gain : {kReluGain, Kaiming{}.gain}) {
      kaiming(weight, RandomStream(1, "init"), {distribution, gain});
      const double variance = gain * gain / 512;
      double sum = 0, squares = 0, largest = 0;
      const std::vector<double> values = weight.to_vector<double>();
      for (const double value : values) {
        sum += value;
        squares += value * value;
        largest = std::max(largest, std::abs(value));
      }
      const auto n = static_cast<double>(values.size());
      // Four standard errors of 32,768 numbers.
      EXPECT_NEAR(sum / n, 0, 4 * std::sqrt(variance / n));
      EXPECT_NEAR(squares / n / variance, 1, 4 * std::sqrt(2 / n));
      // A uniform distribution ends at sqrt(3) deviations; so many normal numbers reach beyond 4.
      if (distribution == Distribution::uniform) {
        EXPECT_LE(largest, std::sqrt(3 * variance) * (1 + 1e-6));
      } else {
        EXPECT_GE(largest, 4 * std::sqrt(variance));
      }
    }
  }
  // As torch.nn.Linear(512, ...): within 1 / sqrt(fan_in).
  EXPECT_NEAR(Kaiming{}.gain * std::sqrt(3.0), 1, 1e-15);

  // Layers of one shape do not start equal, equal seeds do, and biases are zero.
  Sequential twice;
  const auto a = twice.make<Linear>("a", 5, 3), b = twice.make<Linear>("b", 5, 3);
  initialise(twice, 7);
  EXPECT_NE(a->weight().to_vector<float>(), b->weight().to_vector<float>());
  EXPECT_EQ(a->bias().to_vector<float>(), std::vector<float>(3, 0));
  const std::vector<float> first = a->weight().to_vector<float>();
  initialise(twice, 8);
  EXPECT_NE(a->weight().to_vector<float>(), first);
  initialise(twice, 7);
  EXPECT_EQ(a->weight().to_vector<float>(), first);
}

TEST(Init, NormalisationsStartAsTheIdentity) {
  const Model model = make_model("bn_cnn", 8, 8, 1, 10, 1);
  EXPECT_EQ(model.net->parameters()[1].tensor.to_vector<float>(), std::vector<float>(16, 1));
  EXPECT_EQ(model.net->parameters()[2].tensor.to_vector<float>(), std::vector<float>(16, 0));
}

TEST(Init, ThePriorHeadHoldsTheLogFrequencies) {
  Linear head(4, 3);
  kaiming(head.weight(), RandomStream(1, "init"));
  const std::vector<std::int64_t> counts{30, 10, 60};
  init_head(head, counts);
  EXPECT_EQ(head.weight().to_vector<float>(), std::vector<float>(12, 0));
  const std::vector<float> bias = head.bias().to_vector<float>();
  EXPECT_NEAR(bias[0], std::log(0.3), 1e-7);
  EXPECT_NEAR(bias[1], std::log(0.1), 1e-6);
  EXPECT_NEAR(bias[2], std::log(0.6), 1e-7);
  const std::vector<std::int64_t> two{1, 2};
  EXPECT_NE(error_of([&] { init_head(head, two); }).find("2 class counts"), std::string::npos);
}

// sum_i x_i (c + i): its gradient is c + i, so parameters tell their gradients apart.
Tensor weighted(const Tensor& x, float c) {
  const Tensor y = Tensor::zeros({1});
  float sum = 0;
  for (std::int64_t i = 0; i < x.elements(); ++i)
    sum += x.data<float>()[i] * (c + static_cast<float>(i));
  y.fill(sum);
  record("weighted", y, {x}, {}, [c](const Tensor& dy, const Saved&, Gradients& gradients) {
    const auto [dx, write] = gradients.slot(0);
    for (std::int64_t i = 0; i < dx.elements(); ++i) {
      float& out = dx.data<float>()[i];
      const float value = dy.data<float>()[0] * (c + static_cast<float>(i));
      out = write == Write::accumulate ? out + value : value;
    }
  });
  return y;
}

class Two : public Module {
 public:
  Two() : a(add_parameter("bias", {5})), b(add_parameter("weight", {2, 3})) {}
  Tensor forward(const Tensor& x) override { return x; }
  Shape output_shape(const Shape& x) const override { return x; }
  std::string describe() const override { return "Two"; }
  Tensor a, b;
};

TEST(ParameterArena, ParametersKeepTheirValuesInOneAlignedBuffer) {
  Two two;
  two.a.copy_from(Tensor::from(std::vector<float>{1, 2, 3, 4, 5}, {5}));
  two.b.copy_from(Tensor::from(std::vector<float>{6, 7, 8, 9, 10, 11}, {2, 3}));
  const ParameterArena arena(two);
  // The weight comes first; each takes a multiple of 16 floats, and the gaps are zero.
  ASSERT_EQ(arena.segments().size(), 1u);
  EXPECT_EQ(arena.segments()[0].weights_end, 16);
  EXPECT_EQ(arena.segments()[0].end, 32);
  std::vector<float> expected(32, 0);
  for (int i = 0; i < 6; ++i) expected[i] = static_cast<float>(6 + i);
  for (int i = 0; i < 5; ++i) expected[16 + i] = static_cast<float>(1 + i);
  EXPECT_EQ(arena.values().to_vector<float>(), expected);
  EXPECT_EQ(reinterpret_cast<std::uintptr_t>(two.a.raw()) % 64, 0u);
  EXPECT_EQ(two.a.raw(), static_cast<float*>(arena.values().raw()) + 16);
  EXPECT_EQ(two.a.to_vector<float>(), (std::vector<float>{1, 2, 3, 4, 5}));
}

TEST(ParameterArena, GradientsArriveInTheArenaAndMissingOnesBecomeZero) {
  Two two;
  const ParameterArena arena(two);
  arena.clear_gradients();
  backward(weighted(two.a, 10));
  backward(weighted(two.b, 1));
  backward(weighted(two.b, 1));  // adds
  arena.complete_gradients();
  std::vector<float> expected(32, 0);
  for (int i = 0; i < 6; ++i) expected[i] = 2 * static_cast<float>(1 + i);
  for (int i = 0; i < 5; ++i) expected[16 + i] = static_cast<float>(10 + i);
  EXPECT_EQ(arena.gradients().to_vector<float>(), expected);

  arena.clear_gradients();
  backward(weighted(two.b, 3));  // overwrites; a receives nothing this time
  arena.complete_gradients();
  for (int i = 0; i < 6; ++i) expected[i] = static_cast<float>(3 + i);
  for (int i = 0; i < 5; ++i) expected[16 + i] = 0;
  EXPECT_EQ(arena.gradients().to_vector<float>(), expected);
}

TEST(ParameterArena, NeedsParameters) {
  const ReLU relu;
  EXPECT_NE(error_of([&] { const ParameterArena arena(relu); }).find("no parameters"),
            std::string::npos);
}

}  // namespace
}  // namespace cucina::nn
