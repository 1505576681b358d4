// Promises of weights in and out: PyTorch's order of elements, strict loading, and a file that is
// enough to build the model again.
#include "nn/weights.h"

#include <gtest/gtest.h>

#include <cstring>

#include "core/autograd.h"
#include "kernels/common/backends.h"
#include "nn/init.h"
#include "tests/data/files.h"

namespace cucina::nn {
namespace {

using data::expect_bad_file;
using data::Folder;

std::vector<float> floats(const Safetensors& file, const std::string& name) {
  const auto bytes = file.bytes(*file.find(name));
  std::vector<float> values(bytes.size() / sizeof(float));
  std::memcpy(values.data(), bytes.data(), bytes.size());
  return values;
}

ModelInfo info_for(const Model& model) {
  ModelInfo info;
  for (int i = 0; i < model.spec.classes; ++i)
    info.class_names.push_back("class " + std::to_string(i));
  info.mean.assign(static_cast<std::size_t>(model.spec.c), 33.25);
  info.stddev.assign(static_cast<std::size_t>(model.spec.c), 78.5);
  return info;
}

Tensor image_batch(const ModelSpec& spec) {
  std::vector<float> values(static_cast<std::size_t>(2 * spec.h * spec.w * spec.c));
  const RandomStream random(3, "test");
  for (std::size_t i = 0; i < values.size(); ++i) values[i] = random.normal(0, i);
  return Tensor::from(values, {2, spec.h, spec.w, spec.c});
}

// What PyTorch computes, spelled out over (n, c, h, w) with the file's arrays: convolution or
// linear layers from their definitions, then relu, pooling by 2, and a flatten in (c, h, w) order.
struct Planes {
  std::int64_t c, h, w;
  std::vector<double> x;
  double at(std::int64_t ci, std::int64_t y, std::int64_t xi) const {
    if (y < 0 || xi < 0 || y >= h || xi >= w) return 0;
    return x[static_cast<std::size_t>((ci * h + y) * w + xi)];
  }
};

Planes convolve(const Planes& in, const Safetensors& file, const std::string& layer, int pad) {
  const StoredTensor& stored = *file.find(layer + ".weight");
  const std::vector<float> weight = floats(file, layer + ".weight");
  const std::vector<float> bias = floats(file, layer + ".bias");
  const std::int64_t o = stored.shape[0], r = stored.shape[2], s = stored.shape[3];
  EXPECT_EQ(stored.shape[1], in.c);
  Planes out{o, in.h + 2 * pad - r + 1, in.w + 2 * pad - s + 1, {}};
  for (std::int64_t k = 0; k < o; ++k)
    for (std::int64_t p = 0; p < out.h; ++p)
      for (std::int64_t q = 0; q < out.w; ++q) {
        double sum = bias[static_cast<std::size_t>(k)];
        for (std::int64_t c = 0; c < in.c; ++c)
          for (std::int64_t i = 0; i < r; ++i)
            for (std::int64_t j = 0; j < s; ++j)
              sum += weight[static_cast<std::size_t>(((k * in.c + c) * r + i) * s + j)] *
                     in.at(c, p + i - pad, q + j - pad);
        out.x.push_back(std::max(sum, 0.0));
      }
  return out;
}

Planes pool(const Planes& in) {
  Planes out{in.c, in.h / 2, in.w / 2, {}};
  for (std::int64_t c = 0; c < in.c; ++c)
    for (std::int64_t p = 0; p < out.h; ++p)
      for (std::int64_t q = 0; q < out.w; ++q)
        out.x.push_back(
            std::max(std::max(in.at(c, 2 * p, 2 * q), in.at(c, 2 * p, 2 * q + 1)),
                     std::max(in.at(c, 2 * p + 1, 2 * q), in.at(c, 2 * p + 1, 2 * q + 1))));
  return out;
}

std::vector<double> connect(const std::vector<double>& x, const Safetensors& file,
                            const std::string& layer, bool relu) {
  const std::vector<float> weight = floats(file, layer + ".weight");
  const std::vector<float> bias = floats(file, layer + ".bias");
  EXPECT_EQ(file.find(layer + ".weight")->shape[1], static_cast<std::int64_t>(x.size()));
  std::vector<double> y;
  for (std::size_t j = 0; j < bias.size(); ++j) {
    double sum = bias[j];
    for (std::size_t i = 0; i < x.size(); ++i) sum += weight[j * x.size() + i] * x[i];
    y.push_back(relu ? std::max(sum, 0.0) : sum);
  }
  return y;
}

TEST(Weights, ANetInPyTorchsOrderGivesTheSameLogits) {
  const Folder folder;
  const auto path = folder / "model.safetensors";
  // Three channels, unequal sides and a 3x2 image before the flatten: a wrong permutation shows.
  const Model model = make_model("lenet5", 12, 8, 3, 10, 5);
  for (const NamedTensor& parameter : model.net->parameters()) {
    if (parameter.tensor.shape().rank() != 1) continue;
    std::vector<float> bias(static_cast<std::size_t>(parameter.tensor.elements()));
    for (std::size_t i = 0; i < bias.size(); ++i)
      bias[i] = 0.1f * RandomStream(9, parameter.name).normal(0, i);
    parameter.tensor.copy_from(Tensor::from(bias, parameter.tensor.shape()));
  }
  save_model(path, model, info_for(model));
  const Safetensors file = read_safetensors(path);
  EXPECT_EQ(file.find("conv1.weight")->shape, (std::vector<std::int64_t>{6, 3, 5, 5}));
  EXPECT_EQ(file.find("fc1.weight")->shape, (std::vector<std::int64_t>{120, 96}));

  const Tensor images = image_batch(model.spec);
  const NoGrad no_grad;
  const ScopedBackend hand(Backend::hand);
  const std::vector<float> logits = model(images).to_vector<float>();
  for (std::int64_t n = 0; n < 2; ++n) {
    Planes planes{3, 12, 8, {}};
    for (std::int64_t c = 0; c < 3; ++c)
      for (std::int64_t y = 0; y < 12; ++y)
        for (std::int64_t x = 0; x < 8; ++x)
          planes.x.push_back(images.data<float>()[((n * 12 + y) * 8 + x) * 3 + c]);
    const Planes features =
        pool(convolve(pool(convolve(planes, file, "conv1", 2)), file, "conv2", 2));
    std::vector<double> expected = connect(features.x, file, "fc1", true);
    expected = connect(connect(expected, file, "fc2", true), file, "fc3", false);
    for (std::size_t k = 0; k < 10; ++k)
      EXPECT_NEAR(logits[static_cast<std::size_t>(n) * 10 + k], expected[k], 1e-4)
          << "image " << n << ", class " << k;  // f32 sums of up to 400 products against f64
  }
}

TEST(Weights, GroupedFiltersAreStoredAsPyTorchDoesAndComeBack) {
  const Folder folder;
  const auto path = folder / "groups.safetensors";
  Sequential net, other;
  const Conv2dOptions options{.stride = 2, .pad = 2, .dilation = 2, .groups = 2};
  net.make<Conv2d>("conv", 6, 4, 3, options);
  other.make<Conv2d>("conv", 6, 4, 3, options);
  initialise(net, 7);
  initialise(other, 8);
  write_safetensors(path, state(net), {});
  const Safetensors file = read_safetensors(path);
  EXPECT_EQ(file.find("conv.weight")->shape, (std::vector<std::int64_t>{4, 3, 3, 3}));
  load_weights(other, file);
  EXPECT_EQ(other.parameters()[0].tensor.to_vector<float>(),
            net.parameters()[0].tensor.to_vector<float>());

  // PyTorch's definition of groups, on the arrays of the file: output channel k sees the input
  // channels 3 (k / 2), ..., 3 (k / 2) + 2.
  const Tensor x = image_batch({.name = "", .h = 7, .w = 9, .c = 6});
  const std::vector<float> weight = floats(file, "conv.weight"), bias = floats(file, "conv.bias");
  const NoGrad no_grad;
  const Tensor y = net(x);
  ASSERT_EQ(y.shape(), (Shape{2, 4, 5, 4}));
  ASSERT_EQ(net.output_shape(x.shape()), y.shape());
  const std::vector<float> values = y.to_vector<float>();
  for (int n = 0; n < 2; ++n)
    for (int p = 0; p < 4; ++p)
      for (int q = 0; q < 5; ++q)
        for (int k = 0; k < 4; ++k) {
          double sum = bias[static_cast<std::size_t>(k)];
          for (int c = 0; c < 3; ++c)
            for (int r = 0; r < 3; ++r)
              for (int s = 0; s < 3; ++s) {
                const int row = 2 * p + 2 * r - 2, column = 2 * q + 2 * s - 2;
                if (row < 0 || row >= 7 || column < 0 || column >= 9) continue;
                sum += weight[static_cast<std::size_t>(((k * 3 + c) * 3 + r) * 3 + s)] *
                       x.data<float>()[((n * 7 + row) * 9 + column) * 6 + k / 2 * 3 + c];
              }
          EXPECT_NEAR(values[static_cast<std::size_t>(((n * 4 + p) * 5 + q) * 4 + k)], sum, 1e-5)
              << "image " << n << ", row " << p << ", column " << q << ", channel " << k;
        }
}

TEST(Weights, BatchNormIsStoredAsPyTorchDoes) {
  const Folder folder;
  const auto path = folder / "model.safetensors";
  const Model model = make_model("bn_cnn", 8, 8, 1, 10, 5);
  *model.net->buffers()[2].tensor.data<std::int32_t>() = 41;
  save_model(path, model, info_for(model));
  const Safetensors file = read_safetensors(path);
  EXPECT_EQ(file.metadata.at("format"), "pt");
  const StoredTensor& count = *file.find("bn1.num_batches_tracked");
  EXPECT_EQ(count.dtype, "I64");
  EXPECT_TRUE(count.shape.empty());
  EXPECT_EQ(file.bytes(count)[0], 41);
  EXPECT_EQ(floats(file, "bn1.running_var"), std::vector<float>(16, 1));
}

TEST(Weights, AFileIsEnoughToBuildTheModelAgain) {
  const Folder folder;
  const auto path = folder / "model.safetensors";
  Model model =
      make_model({.name = "bn_cnn", .h = 9, .w = 7, .c = 2, .classes = 3, .dropout = 0.25}, 5);
  model.net->buffers()[0].tensor.fill(0.5);
  *model.net->buffers()[2].tensor.data<std::int32_t>() = 7;
  save_model(path, model, {{"a", "b\"\n", "caf\xc3\xa9"}, {1.5, 0.1}, {2.5, 1e-9}});
  const LoadedModel loaded = load_model(path);
  EXPECT_EQ(loaded.model.spec.name, "bn_cnn");
  EXPECT_EQ(loaded.model.spec.h, 9);
  EXPECT_EQ(loaded.model.spec.w, 7);
  EXPECT_EQ(loaded.model.spec.c, 2);
  EXPECT_EQ(loaded.model.spec.dropout, 0.25);
  EXPECT_EQ(loaded.info.class_names, (std::vector<std::string>{"a", "b\"\n", "caf\xc3\xa9"}));
  EXPECT_EQ(loaded.info.mean, (std::vector<double>{1.5, 0.1}));
  EXPECT_EQ(loaded.info.stddev, (std::vector<double>{2.5, 1e-9}));
  const auto before = state(*model.net), after = state(*loaded.model.net);
  ASSERT_EQ(before.size(), after.size());
  for (std::size_t i = 0; i < before.size(); ++i) {
    EXPECT_EQ(before[i].name, after[i].name);
    EXPECT_EQ(before[i].bytes, after[i].bytes) << before[i].name;
  }
}

TEST(Weights, StrictLoadingListsWhatDiffersAndChangesNothing) {
  const Folder folder;
  const auto path = folder / "model.safetensors";
  const Model mlp = make_model("mlp", 4, 4, 1, 3, 1);
  const auto before = state(*mlp.net);
  auto tensors = before;
  tensors.erase(tensors.begin());  // fc1.weight
  tensors[0].shape = {64};         // fc1.bias
  tensors[0].bytes.resize(64 * 4);
  tensors.push_back({.name = "extra", .dtype = "U8", .shape = {0}, .bytes = {}});
  tensors[1].bytes.assign(tensors[1].bytes.size(), 1);
  write_safetensors(path, tensors, {});
  expect_bad_file([&] { load_weights(*mlp.net, read_safetensors(path)); },
                  {"1 missing: fc1.weight", "1 unexpected: extra",
                   "1 mismatched: fc1.bias (F32 (64), due is F32 (128))"});
  const auto after = state(*mlp.net);
  for (std::size_t i = 0; i < before.size(); ++i) EXPECT_EQ(before[i].bytes, after[i].bytes);
}

struct BadMetadata {
  std::string key, value;
  std::string part;
};

TEST(Weights, MetadataAreNotTrusted) {
  const Folder folder;
  const auto path = folder / "model.safetensors";
  const Model model = make_model("linear", 4, 4, 1, 2, 1);
  const std::map<std::string, std::string> good{{"cucina.model", "\"linear\""},
                                                {"cucina.image", "[4,4,1]"},
                                                {"cucina.classes", "[\"a\",\"b\"]"},
                                                {"cucina.mean", "[0.5]"},
                                                {"cucina.std", "[1]"}};
  write_safetensors(path, state(*model.net), good);
  EXPECT_NO_THROW(load_model(path));
  for (const auto& [key, value, part] :
       std::vector<BadMetadata>{{"cucina.model", "\"resnet1000\"", "'resnet1000' is unknown"},
                                {"cucina.model", "3", "wrong type"},
                                {"cucina.model", "linear", "not JSON"},
                                {"cucina.image", "[4,4]", "3 are due"},
                                {"cucina.image", "[4,4,1,1]", "three sizes"},
                                {"cucina.image", "[4,-4,1]", "three sizes"},
                                {"cucina.image", "[4,4.5,1]", "three sizes"},
                                {"cucina.image", "[65536,65536,65536]", "model.safetensors"},
                                {"cucina.image", "7", "due"},
                                {"cucina.image", "[5,4,1]", "mismatched: fc.weight"},
                                {"cucina.classes", "[]", "0 classes"},
                                {"cucina.classes", "[\"a\"]", "mismatched: fc.weight"},
                                {"cucina.classes", "{}", "metadata"},
                                {"cucina.mean", "[]", "0 means"},
                                {"cucina.mean", "[\"a\"]", "wrong type"},
                                {"cucina.std", "[0]", "deviations"},
                                {"cucina.std", "[-1]", "deviations"},
                                {"cucina.std", "[1,1]", "2 deviations"},
                                {"cucina.dropout", "2", "dropout"}}) {
    auto metadata = good;
    metadata[key] = value;
    write_safetensors(path, state(*model.net), metadata);
    SCOPED_TRACE(key + " = " + value);
    expect_bad_file([&] { load_model(path); }, {path.string(), part});
  }
  for (const auto& [key, value] : good) {
    auto metadata = good;
    metadata.erase(key);
    write_safetensors(path, state(*model.net), metadata);
    expect_bad_file([&] { load_model(path); }, {"lack " + key});
  }
}

}  // namespace
}  // namespace cucina::nn
