// Promises of models on the command line: files of layers, initial values, freezing, export, the
// list with its costs; and of the example of a network of one's own.
#include <gtest/gtest.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "nn/onnx.h"
#include "nn/weights.h"
#include "tests/cli/program.h"

namespace cucina::cli {
namespace {

using Json = nlohmann::json;

std::string example(const std::string& name) {
  return (std::filesystem::path(CUCINA_SOURCE_DIR) / "examples" / name).string();
}

// One epoch and a batch of 20, unless said otherwise.
Arguments train(const Arguments& more) {
  Arguments all{"train", "--data", "data", "--json", "--quiet", "--out", "run"};
  all.insert(all.end(), more.begin(), more.end());
  for (const auto& [name, value] : {std::pair{"--epochs", "1"}, std::pair{"--batch-size", "20"}})
    if (std::find(more.begin(), more.end(), name) == more.end()) {
      all.emplace_back(name);
      all.emplace_back(value);
    }
  return all;
}

std::vector<float> floats(const nn::Safetensors& file, const std::string& name) {
  const auto bytes = file.bytes(*file.find(name));
  std::vector<float> values(bytes.size() / sizeof(float));
  std::copy(bytes.begin(), bytes.end(), reinterpret_cast<std::uint8_t*>(values.data()));
  return values;
}

TEST(CliModels, AFileOfLayersIsTrainedMeasuredAndExported) {
  const Folder folder;
  write_spots(folder / "data", 120, 40);
  const Outcome trained =
      run(folder, train({"--model", example("small_net.toml"), "--epochs", "8", "--lr", "0.005"}));
  ASSERT_EQ(trained.code, 0) << trained.err;
  EXPECT_GT(Json::parse(trained.out)["test_accuracy"], 0.5);  // guessing gets 0.1
  EXPECT_NE(text_of(folder / "run" / "config.toml").find("small_net"), std::string::npos);
  EXPECT_NE(text_of(folder / "run" / "config.toml").find("batch_norm2d"), std::string::npos);

  const Outcome measured = run(folder, {"eval", "--model-dir", "run", "--data", "data", "--json"});
  ASSERT_EQ(measured.code, 0) << measured.err;
  EXPECT_EQ(Json::parse(measured.out)["accuracy"], Json::parse(trained.out)["test_accuracy"]);

  const Outcome exported =
      run(folder, {"export", "--model-dir", "run", "--safetensors", "net.safetensors"});
  ASSERT_EQ(exported.code, 0) << exported.err;
  const auto [model, info] = nn::load_model(folder / "net.safetensors");
  EXPECT_EQ(model.spec.name, "small_net");
  EXPECT_EQ(info.recipe.at("train.batch_size"), "20");
  EXPECT_EQ(text_of(folder / "net.safetensors"), text_of(folder / "run" / "model.safetensors"));

  const Outcome onnx = run(folder, {"export", "--model-dir", "run", "--onnx", "net.onnx"});
  EXPECT_EQ(onnx.code, nn::onnx_available() ? 0 : 1) << onnx.err;
  EXPECT_EQ(std::filesystem::exists(folder / "net.onnx"), nn::onnx_available());
}

TEST(CliModels, AChangedFileIsAnotherRun) {
  const Folder folder;
  write_spots(folder / "data", 60, 20);
  const auto net = [&](const char* out) {
    const std::string text =
        std::string("layers = [{type = \"flatten\"}, {type = \"linear\", out = ") + out +
        "}, {type = \"relu\"}, {type = \"linear\"}]\n";
    data::write(folder / "net.toml", Bytes(text.begin(), text.end()));
  };
  net("8");
  ASSERT_EQ(run(folder, train({"--model", "net.toml"})).code, 0);
  net("9");
  const Outcome outcome = run(folder, train({"--model", "net.toml", "--epochs", "2", "--resume"}));
  EXPECT_NE(outcome.code, 0);
  EXPECT_NE(outcome.err.find("layers"), std::string::npos) << outcome.err;
}

TEST(CliModels, InitialValuesAndFrozenOnesAreAsAskedFor) {
  const Folder folder;
  write_spots(folder / "data", 60, 20);
  ASSERT_EQ(run(folder, train({"--model", "mlp", "--head", "zero", "--freeze", "fc1", "--freeze",
                               "fc2.bias", "--init", "orthogonal"}))
                .code,
            0);
  const nn::Safetensors file = nn::read_safetensors(folder / "run" / "model.safetensors");
  EXPECT_EQ(floats(file, "fc2.bias"), std::vector<float>(10, 0));
  EXPECT_NE(floats(file, "fc2.weight"), std::vector<float>(1280, 0));
  // fc1 has 64 columns of 128 numbers at right angles, each of length sqrt 2; nothing moved them.
  const std::vector<float> weight = floats(file, "fc1.weight");
  for (std::size_t column = 0; column < 64; ++column) {
    double square = 0, product = 0;
    for (std::size_t row = 0; row < 128; ++row) {
      square += weight[row * 64 + column] * weight[row * 64 + column];
      product += weight[row * 64 + column] * weight[row * 64 + (column + 1) % 64];
    }
    ASSERT_NEAR(square, 2, 1e-5);
    ASSERT_NEAR(product, 0, 1e-5);
  }
}

TEST(CliModels, AZeroHeadThatIsFrozenStaysZero) {
  const Folder folder;
  write_spots(folder / "data", 40, 20);
  const Outcome outcome =
      run(folder, train({"--model", "mlp", "--head", "zero", "--freeze", "fc2*"}));
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  const nn::Safetensors file = nn::read_safetensors(folder / "run" / "model.safetensors");
  EXPECT_EQ(floats(file, "fc2.weight"), std::vector<float>(1280, 0));
}

TEST(CliModels, GroupsAndFrozenParametersGoOnBitForBit) {
  const Folder folder;
  write_spots(folder / "data", 60, 20);
  const auto settings = [](const char* how, const char* epochs) {
    return train({"--model", "lenet5", "--optimizer", "muon", "--weight-decay", "0.1", "--group",
                  "*.bias:lr=4,decay=0.01", "--group", "fc2:lr=0.5", "--freeze", "conv1", how,
                  "--epochs", epochs});
  };
  const auto sha = [&](const char* how, const char* epochs) {
    const Outcome outcome = run(folder, settings(how, epochs));
    EXPECT_EQ(outcome.code, 0) << outcome.err;
    return Json::parse(outcome.out)["params_sha256"].get<std::string>();
  };
  const std::string whole = sha("--overwrite", "3");
  EXPECT_NE(text_of(folder / "run" / "config.toml").find("*.bias:lr=4,decay=0.01 fc2:lr=0.5"),
            std::string::npos);
  EXPECT_NE(sha("--overwrite", "1"), whole);
  EXPECT_EQ(sha("--resume", "3"), whole);
}

TEST(CliModels, Airbench94StartsFromItsImages) {
  const Folder folder;
  std::filesystem::create_directories(folder / "data");
  for (const auto& [name, n] : {std::pair{"train", 20u}, std::pair{"t10k", 4u}}) {
    Bytes pixels(n * 144), labels(n);
    for (std::size_t i = 0; i < pixels.size(); ++i)
      pixels[i] = static_cast<std::uint8_t>(i * i / 7 + i % 12 * 9);
    for (std::size_t i = 0; i < n; ++i) labels[i] = static_cast<std::uint8_t>(i % 2);
    const std::string stem = std::string("data/") + name;
    data::write(folder / (stem + "-images-idx3-ubyte"), data::idx(0x803, {n, 12, 12}, pixels));
    data::write(folder / (stem + "-labels-idx1-ubyte"), data::idx(0x801, {n}, labels));
  }
  const Outcome outcome = run(folder, train({"--model", "airbench94", "--batch-size", "8"}));
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  const nn::Safetensors file = nn::read_safetensors(folder / "run" / "model.safetensors");
  const std::vector<float> whiten = floats(file, "whiten.weight");
  ASSERT_EQ(whiten.size(), 8u * 4);
  for (std::size_t i = 0; i < 16; ++i) EXPECT_EQ(whiten[i], -whiten[16 + i]);
  EXPECT_EQ(floats(file, "layers.1.norm1.weight"), std::vector<float>(64, 1));
  EXPECT_NE(floats(file, "layers.1.norm1.bias"), std::vector<float>(64, 0));
}

TEST(CliModels, TheListHasCostsAndPublishedAccuracies) {
  const Folder folder;
  const Json list = Json::parse(run(folder, {"models", "--json"}).out);
  const auto find = [&](const std::string& name) {
    return *std::find_if(list.begin(), list.end(),
                         [&](const Json& each) { return each["name"] == name; });
  };
  for (const char* name :
       {"linear", "mlp", "lenet5", "mnist-fast", "mnist-dropout2d", "resnet20", "resnet32b",
        "resnet44", "resnet56b", "resnet9", "resnet18", "resnet34", "resnet50", "airbench94"})
    EXPECT_GT(find(name)["flops"], 0) << name;
  EXPECT_EQ(find("resnet18")["parameters"], 11'689'512);  // torchvision's, for ImageNet
  EXPECT_EQ(find("resnet20")["image"], (Json{32, 32, 3}));
  EXPECT_NE(find("mnist-fast")["published"].get<std::string>().find("99.04"), std::string::npos);
  const Outcome small = run(folder, {"models", example("small_net.toml"), "--height", "8",
                                     "--width", "8", "--classes", "4"});
  EXPECT_NE(small.out.find("block.conv2"), std::string::npos) << small.out << small.err;
  EXPECT_NE(small.out.find("Linear 64->4"), std::string::npos) << small.out;
}

TEST(CliModels, WhatCannotBeBuiltOrExportedIsASentence) {
  const Folder folder;
  write_spots(folder / "data", 20, 10);
  const std::string bad = "[[layers]]\ntype = \"linear\"\n", broken = "[[layers]\n";
  data::write(folder / "bad.toml", Bytes(bad.begin(), bad.end()));
  data::write(folder / "broken.toml", Bytes(broken.begin(), broken.end()));
  struct Try {
    Arguments arguments;
    int code;
    std::string part;
  };
  for (const auto& [arguments, code, part] : std::vector<Try>{
           {train({"--model", "absent.toml"}), 3, "absent.toml: cannot be read"},
           {train({"--model", "broken.toml"}), 3, "broken.toml:1: "},
           {train({"--model", "bad.toml"}), 2, "model bad: layer 0 (linear)"},
           {train({"--model", "bad.toml", "--dropout", "0.5"}), 2, "its layers say"},
           {{"models", "broken.toml"}, 3, "broken.toml:1: "},
           {train({"--model", "mlp", "--freeze", "fc3"}), 2, "'fc3'"},
           {train({"--model", "linear", "--freeze", "fc"}), 2, "every parameter is frozen"},
           {train({"--model", "mlp", "--group", "fc3:lr=2"}), 2, "group 'fc3'"},
           {train({"--model", "mlp", "--group", "fc2"}), 2, "give NAME:lr=R"},
           {train({"--model", "mlp", "--group", "fc2:lr=x"}), 2, "'x' is no number"},
           {train({"--model", "mlp", "--group", "fc2:rate=1"}), 2, "'rate=1' is unknown"},
           {train({"--model", "mlp", "--init", "he"}), 2, "--init he: choose one of torch"},
           {{"export", "--model-dir", "absent", "--onnx", "a.onnx"}, 3, "absent"},
           {{"export", "--model-dir", "absent"}, 2, "nothing to write"},
           {{"export", "--onnx", "a.onnx"}, 2, "--model-dir"}}) {
    const Outcome outcome = run(folder, arguments);
    EXPECT_EQ(outcome.code, code) << outcome.err;
    EXPECT_NE(outcome.err.find(part), std::string::npos) << outcome.err;
    EXPECT_EQ(std::count(outcome.err.begin(), outcome.err.end(), '\n'), 1) << outcome.err;
    EXPECT_FALSE(std::filesystem::exists(folder / "run"));
  }
  ASSERT_EQ(run(folder, train({"--model", "linear"})).code, 0);
  const Outcome outcome =
      run(folder, {"export", "--model-dir", "run", "--safetensors", "absent/net.safetensors"});
  EXPECT_EQ(outcome.code, 1);
  EXPECT_NE(outcome.err.find("cannot be written"), std::string::npos) << outcome.err;
}

TEST(Example, ANetworkOfOnesOwnIsTrainedAndSaved) {
  const Folder folder;
  write_spots(folder / "data", 200, 50);
  const Outcome outcome = Program(folder, {"data", "6"}, {}, CUCINA_EXAMPLE).finish();
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  const std::string accuracy = "test accuracy ";
  const std::size_t at = outcome.out.find(accuracy);
  ASSERT_NE(at, std::string::npos) << outcome.out;
  EXPECT_GT(std::stod(outcome.out.substr(at + accuracy.size())), 50) << outcome.out;
  const nn::Safetensors file = nn::read_safetensors(folder / "separable.safetensors");
  EXPECT_EQ(file.find("block1.layers.depthwise.weight")->shape,
            (std::vector<std::int64_t>{16, 1, 3, 3}));
}

}  // namespace
}  // namespace cucina::cli
