// Tip 5 and the end of stage 4: what every layer makes of a batch before training. Channels must be
// alive, different from each other, and of a sane size.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>

#include "core/autograd.h"
#include "recipe/check/check.h"
#include "recipe/check/samples.h"

namespace cucina::checks {
namespace {

constexpr std::int64_t kExamples = 64;
constexpr double kMostDead = 0.75;  // of a layer's channels; 30 % are silent by nature
constexpr double kMostAlike = 0.25;
// Deviation of a layer's outputs; measured 0.01 to 3 over healthy networks of up to 20 layers.
constexpr double kLargest = 20;
constexpr double kSmallest = 1e-5;

struct Layer {
  std::string name;
  std::string what;
  Tensor outputs;  // (n, ..., channels)
};

// Children that run one after the other are looked into; others are one layer.
Tensor through(nn::Module& module, const std::string& name, Tensor x, std::vector<Layer>* layers) {
  if (dynamic_cast<nn::Sequential*>(&module) != nullptr) {
    for (const nn::NamedModule& child : module.children())
      x = through(*child.module, name.empty() ? child.name : name + "." + child.name, x, layers);
    return x;
  }
  x = module.forward(x);
  layers->push_back({name, module.describe(), x});
  return x;
}

void judge(const Layer& layer, Findings* findings) {
  const std::vector<float> values = layer.outputs.to_vector<float>();
  const auto channels = static_cast<std::size_t>(layer.outputs.size(-1));
  const std::size_t positions = values.size() / channels;
  std::vector<std::string> dead;
  std::map<std::vector<float>, std::string> seen;
  std::vector<std::string> alike;
  for (std::size_t c = 0; c < channels; ++c) {
    std::vector<float> column(positions);
    for (std::size_t i = 0; i < positions; ++i) column[i] = values[i * channels + c];
    const std::string label = fmt::format("{} ({}), channel {}", layer.name, layer.what, c);
    if (std::all_of(column.begin(), column.end(), [](float v) { return v == 0; })) {
      dead.push_back(label);
      continue;
    }
    const auto [twin, is_new] = seen.emplace(std::move(column), label);
    if (!is_new) alike.push_back(label + " is " + twin->second);
  }
  const auto count = static_cast<double>(channels);
  if (double(dead.size()) > kMostDead * count)
    findings->add(
        {.outcome = Outcome::fail,
         .reasons = {"dead-channels"},
         .found = fmt::format("channels of {} are 0 for every example (share)", layer.name),
         .measured = double(dead.size()) / count,
         .expected = 0,
         .tolerance = kMostDead,
         .evidence = dead,
         .hint = "weights of 0 or large negative biases in front of a relu: initialise anew"});
  if (double(alike.size()) > kMostAlike * count)
    findings->add(
        {.outcome = Outcome::fail,
         .reasons = {"identical-channels"},
         .found = fmt::format("channels of {} are copies of each other (share)", layer.name),
         .measured = double(alike.size()) / count,
         .expected = 0,
         .tolerance = kMostAlike,
         .evidence = alike,
         .hint = "weights that start equal stay equal: initialise them at random"});
  const double deviation = moments(std::vector<double>(values.begin(), values.end())).deviation;
  if (!(deviation < kLargest) || (deviation < kSmallest && dead.size() < channels))
    findings->add(
        {.outcome = Outcome::fail,
         .reasons = {"activation-scale"},
         .found = fmt::format("the outputs of {} are of an odd size (deviation)", layer.name),
         .measured = deviation,
         .evidence = {fmt::format("{} ({}): deviation {:.4g}, allowed {:g} to {:g}", layer.name,
                                  layer.what, deviation, kSmallest, kLargest)},
         .hint = "look at the scale of inputs and of initial weights"});
}

// A last layer that cannot go below 0 cannot give logits.
Verdict outputs(const Task& task, const Layer& last) {
  const std::vector<float> z = last.outputs.to_vector<float>();
  const auto zeros = std::count(z.begin(), z.end(), 0.0f);
  const bool clamped = zeros > 0 && zeros < static_cast<std::ptrdiff_t>(z.size()) &&
                       *std::min_element(z.begin(), z.end()) == 0;
  if (task.classes == 0 || !clamped)
    return {.outcome = Outcome::pass, .found = "channels are alive, different and of a sane size"};
  return {.outcome = Outcome::fail,
          .reasons = {"clamped-outputs"},
          .found = "logits are cut off at 0 (share of zeros)",
          .measured = double(zeros) / double(z.size()),
          .evidence = {fmt::format("{} ({})", last.name, last.what)},
          .hint = "remove the relu behind the last layer"};
}

Verdict run(const Task& task) {
  const Batch batch = take(task.train, kExamples);
  train_all_but_random(*task.model);
  const NoGrad no_grad;
  std::vector<Layer> layers;
  through(*task.model, "", batch.inputs, &layers);
  Findings findings;
  // The last layer may start at zero.
  for (std::size_t i = 0; i + 1 < layers.size(); ++i) judge(layers[i], &findings);
  layers.push_back({"the network", "all of it", task.forward(batch.inputs)});
  findings.add(outputs(task, layers.back()));
  return findings.verdict();
}

}  // namespace

Check activations() {
  return {
      "activations", "5: init well, and the end of stage 4",
      "Sends 64 examples through the network and looks at every layer of a Sequential, but the "
      "last: at most three quarters\nof the channels may be 0 everywhere, at most a quarter may "
      "equal another channel, and the deviation of all outputs\nmust be between 1e-5 and 20. "
      "Logits that are cut off at 0 are found, too.\nSource: Karpathy 2019, the end of "
      "\"regularize\"; thresholds measured, docs/recipe.md.",
      &run};
}

}  // namespace cucina::checks
