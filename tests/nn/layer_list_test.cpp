// Promises of models written as lists of layers: they are the networks they say, they travel in a
// model's file, and whatever is wrong with a list is a sentence that names the layer.
#include "nn/layer_list.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "core/autograd.h"
#include "core/random.h"
#include "nn/model_file.h"
#include "nn/weights.h"
#include "tests/data/files.h"
#include "tests/error_of.h"

namespace cucina::nn {
namespace {

using data::expect_bad_file;
using data::Folder;
using testing::error_of;

constexpr const char* kLenet5 = R"(
[[layers]]
type = "conv2d"
name = "conv1"
out = 6
window = 5
pad = 2
[[layers]]
type = "relu"
[[layers]]
type = "max_pool2d"
[[layers]]
type = "conv2d"
name = "conv2"
out = 16
window = 5
[[layers]]
type = "relu"
[[layers]]
type = "max_pool2d"
[[layers]]
type = "flatten"
[[layers]]
type = "linear"
name = "fc1"
out = 120
[[layers]]
type = "relu"
[[layers]]
type = "linear"
name = "fc2"
out = 84
[[layers]]
type = "relu"
[[layers]]
type = "linear"   # the classes
name = "fc3"
)";

constexpr const char* kBlocks = R"(
[[layers]]
type = "conv2d"
out = 8
window = 3
pad = 1
bias = false
[[layers]]
type = "batch_norm2d"
momentum = 0.2
eps = 1e-3
[[layers]]
type = "silu"
[[layers]]
type = "residual"
name = "block"
relu = false
layers = [
  {type = "conv2d", name = "conv", out = 12, window = 3, stride = 2, pad = 1, groups = 4},
  {type = "group_norm", groups = 3}, {type = "gelu", tanh = true}, {type = "sigmoid"}]
shortcut = [{type = "conv2d", out = 12, window = 1, stride = 2}]
[[layers]]
type = "sequential"
name = "stage"
  [[layers.layers]]
  type = "layer_norm"
  affine = false
  [[layers.layers]]
  type = "dropout2d"
  p = 0.25
  [[layers.layers]]
  type = "avg_pool2d"
  window = 3
  stride = 1
  pad = 1
  [[layers.layers]]
  type = "tanh"
  [[layers.layers]]
  type = "conv2d"
  out = 12
  window = 3
  pad = 2
  dilation = 2
  groups = 12
[[layers]]
type = "global_avg_pool"
[[layers]]
type = "dropout"
[[layers]]
type = "linear"
bias = false
[[layers]]
type = "scale"
factor = 0.5
)";

void write(const std::filesystem::path& path, const std::string& text) {
  data::write(path, data::Bytes(text.begin(), text.end()));
}

std::string layers_of(const std::string& toml) { return parse_layers(toml, "net.toml"); }

ModelSpec spec_of(const std::string& toml, std::int64_t h, std::int64_t w, std::int64_t c) {
  return {.name = "net", .h = h, .w = w, .c = c, .classes = 10, .layers = layers_of(toml)};
}

Tensor images_for(const ModelSpec& spec) {
  std::vector<float> values(static_cast<std::size_t>(2 * spec.h * spec.w * spec.c));
  for (std::size_t i = 0; i < values.size(); ++i)
    values[i] = RandomStream(3, "images").normal(0, i);
  return Tensor::from(values, {2, spec.h, spec.w, spec.c});
}

std::vector<float> logits_of(const Model& model) {
  const ScopedEvaluation evaluation(*model.net);
  const NoGrad no_grad;
  return model(images_for(model.spec)).to_vector<float>();
}

TEST(LayerList, ALenet5InTomlIsTheKnownOne) {
  const Model known = make_model("lenet5", 28, 28, 1, 10, 7);
  const Model listed = make_model(spec_of(kLenet5, 28, 28, 1), 7);
  const auto expected = known.net->parameters(), found = listed.net->parameters();
  ASSERT_EQ(found.size(), expected.size());
  for (std::size_t i = 0; i < found.size(); ++i) {
    EXPECT_EQ(found[i].name, expected[i].name);
    // Also what a flattened image's columns are: saved weights have PyTorch's order.
    EXPECT_EQ(found[i].channels_last, expected[i].channels_last) << found[i].name;
  }
  EXPECT_EQ(logits_of(listed), logits_of(known));
  EXPECT_EQ(listed.head->weight().shape(), (Shape{10, 84}));
}

TEST(LayerList, BlocksNestAndAreNamedByTheirPlaces) {
  const Model model = make_model(spec_of(kBlocks, 9, 8, 3), 1);
  std::vector<std::string> names;
  for (const NamedTensor& each : model.net->parameters()) names.push_back(each.name);
  EXPECT_EQ(names, (std::vector<std::string>{"0.weight", "1.weight", "1.bias", "block.conv.weight",
                                             "block.conv.bias", "block.1.weight", "block.1.bias",
                                             "block.shortcut.0.weight", "block.shortcut.0.bias",
                                             "stage.4.weight", "stage.4.bias", "7.weight"}));
  const Shape shape = model.net->output_shape({2, 9, 8, 3});
  EXPECT_EQ(shape, (Shape{2, 10}));
  std::vector<PlacedLayer> layers;
  model.net->place("", {1, 9, 8, 3}, &layers);
  std::string text;
  for (const PlacedLayer& each : layers) text += each.name + ": " + each.layer->describe() + "\n";
  for (const char* part :
       {"block.conv: Conv2d 8->12, 3x3, stride 2, pad 1, groups 4", "block.1: GroupNorm 3 of 12",
        "block.2: GELU tanh", "stage.0: LayerNorm 12, not affine", "stage.1: Dropout2d p 0.25",
        "stage.2: AvgPool2d 3x3, stride 1, pad 1", "stage.4: Conv2d 12->12, 3x3, pad 2, dilation 2",
        "7: Linear 12->10, no bias", "8: Scale by 0.5", "no relu"})
    EXPECT_NE(text.find(part), std::string::npos) << part << " in\n" << text;
}

TEST(LayerList, TravelsInTheModelsFile) {
  const Folder folder;
  const Model model = make_model(spec_of(kBlocks, 9, 8, 3), 1);
  const ModelInfo info{
      .class_names = std::vector<std::string>(10, "thing"), .mean = {1, 2, 3}, .stddev = {4, 5, 6}};
  save_model(folder / "model.safetensors", model, info);
  const LoadedModel loaded = load_model(folder / "model.safetensors");
  EXPECT_EQ(loaded.model.spec.name, "net");
  EXPECT_EQ(logits_of(loaded.model), logits_of(model));

  for (const std::string layers : {"[{\"type\": \"relu\"", "[]", "3", "[{\"type\": \"relu\"}]"}) {
    write_safetensors(folder / "bad.safetensors", state(*model.net),
                      {{"cucina.model", "\"net\""},
                       {"cucina.image", "[9,8,3]"},
                       {"cucina.classes", R"(["0","1","2","3","4","5","6","7","8","9"])"},
                       {"cucina.mean", "[1,2,3]"},
                       {"cucina.std", "[4,5,6]"},
                       {"cucina.layers", layers}});
    expect_bad_file([&] { load_model(folder / "bad.safetensors"); }, {"bad.safetensors"});
  }
}

TEST(LayerList, WhatIsWrongWithALayerIsASentenceThatNamesIt) {
  const auto refused = [](const std::string& layers) {
    return error_of([&] {
      build_from_layers({.name = "net",
                         .h = 8,
                         .w = 8,
                         .c = 3,
                         .classes = 10,
                         .layers = layers_of("layers = [" + layers + "]")});
    });
  };
  for (const auto& [layers, expected] : std::vector<std::pair<std::string, std::string>>{
           {R"({type = "conv2d", window = 3})",
            "model net: layer 0 (conv2d): out is missing; give a whole number"},
           {R"({type = "conv2d", out = 3.5, window = 3})",
            "layer 0 (conv2d): out is 3.5; give a whole number from 1 to 65536"},
           {R"({type = "conv2d", out = 99999999999, window = 3})", "out is 99999999999"},
           {R"({type = "conv2d", out = 2, window = 3, padding = 1})",
            "layer 0 (conv2d): 'padding' is unknown; it takes bias, dilation, groups, name, out, "
            "pad, stride, type, window"},
           {R"({type = "conv2d", out = 2, window = 3, bias = 1})", "bias is 1; give true or false"},
           {R"({type = "conv2d", out = 2, window = 9})",
            "layer 0 (conv2d): Conv2d: a window of 9 exceeds"},
           {R"({type = "relu"}, {type = "conv2d", out = 4, window = 1, groups = 2})",
            "layer 1 (conv2d): Conv2d: 2 groups do not divide 3 inputs"},
           {R"({type = "linear"})", "layer 0 (linear): it reads rows, and here are (1, 8, 8, 3)"},
           {R"({type = "rely"})", "layer 0 (rely): this type is unknown: choose one of avg_pool2d"},
           {R"({out = 3})", "layer 0 (no type): its type is missing"},
           {R"({type = 3})", "layer 0: type is 3; give a text"},
           {R"(3)", "layer 0: 3 is no layer"},
           {R"({type = "flatten"}, {type = "layer_norm"})", "behind a flatten"},
           {R"({type = "dropout", p = 1.0})", "layer 0 (dropout): Dropout: p is 1"},
           {R"({type = "dropout", p = nan})", "p is null; give a number"},
           {R"({type = "max_pool2d", window = 16})", "layer 0 (max_pool2d): MaxPool2d: window 16"},
           {R"({type = "max_pool2d", pad = 2})", "window 2, stride 2 and pad 2"},
           {R"({type = "batch_norm2d", momentum = 2})", "momentum is 2"},
           {R"({type = "batch_norm2d", eps = 0})", "eps is 0"},
           {R"({type = "scale"})", "factor is missing"},
           {R"({type = "relu", name = "a.b"})",
            "layer 0 (relu): module: 'a.b' cannot name a child"},
           {R"({type = "relu", name = "a"}, {type = "relu", name = "a"})",
            "layer 1 (relu): module: two children"},
           {R"({type = "residual", layers = [{type = "conv2d", out = 4, window = 3}]})",
            "layer 0 (residual): Residual: the body makes"},
           {R"({type = "residual", layers = [{type = "relu"}, {type = "conv2d", out = 4}]})",
            "layer 0.1 (conv2d): window is missing"},
           {R"({type = "residual", shortcut = [{type = "relu", p = 1}]})",
            "layer 0 shortcut.0 (relu): 'p' is unknown"},
           {R"({type = "sequential", layers = {}})",
            "layer 0 (sequential): layers is {}; give a list"},
           {R"({type = "relu"})",
            "its last layer makes (1, 8, 8, 3) of an image, and (1, 10) are due"},
           {R"({type = "conv2d", out = 10, window = 1}, {type = "global_avg_pool"})",
            "end with a linear layer"},
           {R"({type = "flatten"}, {type = "linear", out = 9})", "its last layer makes (1, 9)"}}) {
    const std::string text = refused(layers);
    EXPECT_NE(text.find(expected), std::string::npos) << text << "\n  for " << layers;
  }
  EXPECT_NO_THROW(build_from_layers({.name = "net",
                                     .h = 8,
                                     .w = 8,
                                     .c = 3,
                                     .classes = 10,
                                     .layers = R"([{"type":"flatten"},{"type":"linear"}])"}));
}

TEST(LayerList, ListsWithinListsEnd) {
  std::string list = "[{\"type\":\"relu\"}]";
  for (int i = 0; i < 20; ++i) list = R"([{"type":"sequential","layers":)" + list + "}]";
  EXPECT_NE(
      error_of([&] {
        build_from_layers({.name = "net", .h = 8, .w = 8, .c = 3, .classes = 10, .layers = list});
      }).find("more than 16 deep"),
      std::string::npos);
}

// --- the file itself ---------------------------------------------------------------------------

TEST(ModelFile, WhatIsNoListOfLayersIsASentenceWithTheLine) {
  const Folder folder;
  const auto path = folder / "net.toml";
  expect_bad_file([&] { read_layers(path); }, {"cannot be read"});
  for (const auto& [text, part] : std::vector<std::pair<std::string, std::string>>{
           {"", "holds no [[layers]]"},
           {"layers = 3", "holds no [[layers]]"},
           {"a = 1\n[[layers]]\n", "'a' is unknown"},
           {"[[layers]]\ntype = \"relu\n", "net.toml:2: "},
           {"[[layers]]\ntype = \"relu\"\ntype = \"gelu\"\n", "net.toml:3: "},
           {"[[layers]]\ntype = 1979-05-27\n", "net.toml:2: a date"},
           {"# caf\xc3\xa9\n", "net.toml:1: byte 0xc3 in column 6"},
           {std::string("layers\0 = []", 12), "byte 0x00 in column 7"},
           {"\n" + std::string(500, ' '), "net.toml:2: more than 400 characters"},
           {"layers = " + std::string(300, '[') + std::string(90, ']'), "net.toml"},
           {std::string(70'000, '\n'), "more than 65536 bytes"},
           // What aborts or misleads toml++ 3.3.
           {"[\n", "net.toml"},
           {"[&", "net.toml"},
           {"[[[a]]]", "net.toml"},
           {"\xef\xbb\xa4\x15", "byte 0xef"}}) {
    write(path, text);
    expect_bad_file([&] { read_layers(path); }, {part});
  }
}

TEST(ModelFile, EveryTruncationAndManyDamagesAreLayersOrASentence) {
  const std::string whole = kBlocks;
  const auto survives = [](const std::string& text) {
    try {
      build_from_layers({.name = "net",
                         .h = 9,
                         .w = 8,
                         .c = 3,
                         .classes = 10,
                         .layers = parse_layers(text, "net.toml")});
    } catch (const Error& error) {
      EXPECT_EQ(std::string(error.what()).find('\n'), std::string::npos) << error.what();
    }
  };
  for (std::size_t n = 0; n < whole.size(); ++n) survives(whole.substr(0, n));
  const RandomStream random(1, "damage");
  constexpr std::string_view kSigns = "[]{}\"'=.,\n#&-+:0eE_ \tx";
  for (std::uint32_t i = 0; i < 3000; ++i) {
    std::string damaged = whole;
    for (std::uint64_t k = 0; k < 1 + i % 4; ++k) {
      const auto at = static_cast<std::size_t>(random.below(i, 2 * k, damaged.size()));
      damaged[at] = kSigns[static_cast<std::size_t>(random.below(i, 2 * k + 1, kSigns.size()))];
    }
    survives(damaged);
  }
}

}  // namespace
}  // namespace cucina::nn
