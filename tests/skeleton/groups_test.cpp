// Promises of groups of parameters: each has its own rate and decay, the others are as without
// them, and what is frozen stays.
#include <gtest/gtest.h>

#include <cmath>
#include <map>

#include "core/random.h"
#include "recipe/data/loader.h"
#include "recipe/skeleton/optimizers.h"
#include "recipe/skeleton/trainer.h"
#include "tests/error_of.h"

namespace cucina::skeleton {
namespace {

using testing::error_of;
using Values = std::map<std::string, std::vector<float>>;

data::Dataset dataset() {
  data::ImageSet set{.n = 12, .h = 4, .w = 4, .c = 1, .classes = 3, .pixels = {}, .labels = {}};
  for (std::uint64_t i = 0; i < 12 * 16; ++i)
    set.pixels.push_back(static_cast<std::uint8_t>(RandomStream(1, "pixels").below(0, i, 256)));
  for (std::int32_t i = 0; i < 12; ++i) set.labels.push_back(i % 3);
  return {.name = "noise",
          .class_names = {"a", "b", "c"},
          .train = set,
          .validation = set,
          .test = set,
          .sha256 = ""};
}

// A model whose biases are not zero: their decay shows.
nn::Model mlp() {
  nn::Model model = nn::make_model("mlp", 4, 4, 1, 3, 1);
  for (const nn::NamedTensor& each : model.net->parameters())
    if (each.tensor.shape().rank() == 1) each.tensor.fill(0.25);
  return model;
}

Values values_of(const nn::Model& model) {
  Values values;
  for (const nn::NamedTensor& each : model.net->parameters())
    values[each.name] = each.tensor.to_vector<float>();
  return values;
}

// The parameters after so many steps on the same images.
Values after(nn::Model model, const TrainOptions& options, int steps = 1) {
  const data::Dataset data = dataset();
  Trainer trainer(model, data, options);
  const data::Loader loader(data.train, trainer.statistics(), 12, Device::cpu);
  for (int i = 0; i < steps; ++i) trainer.step(loader.in_order(0));
  return values_of(model);
}

TEST(Groups, EachHasItsRateAndDecayAndTheOthersAreAsWithout) {
  TrainOptions options{.batch_size = 12, .optimizer = "sgd", .learning_rate = 0.1};
  const Values before = values_of(mlp()), plain = after(mlp(), options);
  options.groups = {{.name = "fc1", .lr_ratio = 2, .weight_decay = 0.5}};
  const Values grouped = after(mlp(), options);
  for (const std::string name : {"fc2.weight", "fc2.bias"})
    EXPECT_EQ(grouped.at(name), plain.at(name));
  // w - 2 lr (g + 0.5 w), of biases, too; and plain is w - lr g.
  for (const std::string name : {"fc1.weight", "fc1.bias"})
    for (std::size_t i = 0; i < before.at(name).size(); ++i) {
      const double w = before.at(name)[i], step = plain.at(name)[i] - w;
      ASSERT_NEAR(grouped.at(name)[i], w + 2 * step - 2 * 0.1 * 0.5 * w, 1e-6) << name;
    }
}

TEST(Groups, TheFirstThatFitsCountsAndWithoutADecayOfItsOwnWeightsAloneDecay) {
  TrainOptions options{
      .batch_size = 12, .optimizer = "sgd", .learning_rate = 0.1, .weight_decay = 0.5};
  const Values before = values_of(mlp()), plain = after(mlp(), options);
  options.groups = {{.name = "*.bias", .lr_ratio = 3}, {.name = "fc2", .lr_ratio = 2}};
  const Values grouped = after(mlp(), options);
  EXPECT_EQ(grouped.at("fc1.weight"), plain.at("fc1.weight"));
  for (const auto& [name, ratio] :
       {std::pair{"fc1.bias", 3.0}, std::pair{"fc2.bias", 3.0}, std::pair{"fc2.weight", 2.0}})
    for (std::size_t i = 0; i < before.at(name).size(); ++i) {
      const double w = before.at(name)[i];
      ASSERT_NEAR(grouped.at(name)[i], w + ratio * (plain.at(name)[i] - w), 1e-6) << name;
    }
}

TEST(Groups, AScheduleMovesEveryGroupsRate) {
  TrainOptions options{.epochs = 4, .batch_size = 12, .optimizer = "adam", .learning_rate = 0.1};
  options.schedule = {.kind = optim::ScheduleKind::linear};
  options.groups = {{.name = "fc2", .lr_ratio = 0.5}};
  const data::Dataset data = dataset();
  nn::Model model = mlp();
  Trainer trainer(model, data, options);
  const data::Loader loader(data.train, trainer.statistics(), 12, Device::cpu);
  trainer.step(loader.in_order(0));
  trainer.step(loader.in_order(0));  // the second of four steps: 3/4 of the rate
  const std::string text = trainer.optimizer().describe();
  EXPECT_EQ(text.find("adam, lr 0.075"), 0u) << text;
  EXPECT_NE(text.find("; adam, lr 0.0375"), std::string::npos) << text;
  EXPECT_EQ(trainer.optimizer().steps().item(), 2);
}

TEST(Groups, FrozenParametersStayUnderEveryOptimizer) {
  for (const char* optimizer : {"adam", "sgd", "muon"}) {
    nn::Model model = nn::make_model("lenet5", 4, 4, 1, 3, 1);
    model.net->freeze("conv2");
    model.net->freeze("*fc3.bias");
    const Values before = values_of(model);
    const Values later = after(model,
                               {.batch_size = 12,
                                .optimizer = optimizer,
                                .learning_rate = 0.1,
                                .weight_decay = 0.1,
                                .ema = 0.9},
                               3);
    for (const auto& [name, values] : before) {
      const bool frozen = name.starts_with("conv2") || name == "fc3.bias";
      EXPECT_EQ(later.at(name) == values, frozen) << name << " under " << optimizer;
    }
  }
}

TEST(Groups, AreDescribedWithWhatDecays) {
  nn::Model model = mlp();  // 16x128 + 128 + 128x3 + 3 values
  model.net->freeze("fc1.bias");
  TrainOptions options{.learning_rate = 0.01, .weight_decay = 0.1};
  options.groups = {{.name = "fc2", .lr_ratio = 2, .weight_decay = 0.25}};
  const nn::ParameterArena arena = make_arena(model, options);
  EXPECT_EQ(
      describe_groups(arena, options),
      "group of all others: lr 0.01, weight decay 0.1 on 1 parameters (2048 values), none on 0 "
      "(0)\n"
      "group fc2: lr 0.02, weight decay 0.25 on 2 parameters (387 values), none on 0 (0)\n"
      "frozen: 1 parameters (128 values)\n");
}

TEST(Groups, ThatFitNothingAreSentences) {
  const auto refused = [](const std::vector<ParameterGroup>& groups) {
    const nn::Model model = mlp();
    return error_of([&] { make_arena(model, {.groups = groups}); });
  };
  EXPECT_NE(refused({{.name = "fc3"}}).find("group 'fc3': no parameter"), std::string::npos);
  EXPECT_NE(refused({{.name = "fc2"}, {.name = "fc2.bias"}}).find("'fc2.bias'"), std::string::npos);
  EXPECT_NE(refused({{.name = "fc2", .lr_ratio = 0}}).find("lr is 0"), std::string::npos);
  const data::Dataset data = dataset();
  nn::Model model = mlp();
  TrainOptions options;
  options.groups = {{.name = "fc2", .weight_decay = -1}};
  EXPECT_NE(error_of([&] { Trainer(model, data, options); }).find("weight decay is -1"),
            std::string::npos);
}

}  // namespace
}  // namespace cucina::skeleton
