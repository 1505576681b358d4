// Writes exported models with images and logits beside them, for check_export.py:
//   export_models FOLDER onnx|torch
// NAME.onnx or NAME.safetensors, and NAME.io.safetensors with "input" (n, c, h, w) and "logits".
#include <fmt/core.h>

#include <cmath>
#include <cstring>
#include <filesystem>
#include <string>
#include <vector>

#include "core/autograd.h"
#include "core/error.h"
#include "core/random.h"
#include "nn/models.h"
#include "nn/onnx.h"
#include "nn/weights.h"

namespace cucina {
namespace {

constexpr std::int64_t kImages = 3;

// Every kind of layer that no known model has.
constexpr const char* kOthers = R"([
  {"type": "conv2d", "out": 8, "window": 3, "pad": 2, "dilation": 2}, {"type": "silu"},
  {"type": "group_norm", "groups": 4}, {"type": "gelu", "tanh": true},
  {"type": "layer_norm"}, {"type": "avg_pool2d", "window": 3, "stride": 2, "pad": 1},
  {"type": "residual", "relu": false,
   "layers": [{"type": "conv2d", "out": 8, "window": 3, "pad": 1, "groups": 4}, {"type": "tanh"}]},
  {"type": "group_norm", "groups": 2, "affine": false}, {"type": "dropout2d"},
  {"type": "flatten"}, {"type": "dropout"}, {"type": "linear", "out": 12}, {"type": "sigmoid"},
  {"type": "layer_norm", "affine": false}, {"type": "linear"}, {"type": "scale", "factor": 3}])";

struct Wanted {
  nn::ModelSpec spec;
  bool torch;
};

std::vector<Wanted> wanted() {
  const auto mnist = [](const char* name) {
    return nn::ModelSpec{.name = name, .h = 28, .w = 28, .c = 1, .classes = 10};
  };
  const auto cifar = [](const char* name) {
    return nn::ModelSpec{.name = name, .h = 32, .w = 32, .c = 3, .classes = 10};
  };
  return {{mnist("lenet5"), true},
          {mnist("bn_cnn"), false},
          {mnist("mlp"), false},
          {mnist("linear"), false},
          {mnist("mnist-fast"), false},
          {mnist("mnist-dropout2d"), true},
          {cifar("resnet20"), true},
          {cifar("resnet20b"), false},
          {cifar("resnet9"), false},
          {cifar("airbench94"), false},
          {cifar("resnet18"), true},
          {cifar("resnet50"), false},
          {{.name = "others", .h = 11, .w = 8, .c = 3, .classes = 10, .layers = kOthers}, false}};
}

// Numbers as training leaves them: biases and statistics that show where they go.
void disturb(const nn::Module& module) {
  const auto change = [](const nn::NamedTensor& named, double center, double spread) {
    std::vector<float> values(static_cast<std::size_t>(named.tensor.elements()));
    for (std::size_t i = 0; i < values.size(); ++i)
      values[i] = static_cast<float>(
          center + spread * (2.0 * RandomStream(5, named.name).uniform(0, i) - 1));
    named.tensor.copy_from(Tensor::from(values, named.tensor.shape()));
  };
  for (const nn::NamedTensor& parameter : module.parameters()) {
    if (parameter.tensor.shape().rank() == 1)
      change(parameter, parameter.name.ends_with("weight") ? 1 : 0, 0.3);
  }
  for (const nn::NamedTensor& buffer : module.buffers()) {
    if (buffer.name.ends_with("running_mean")) change(buffer, 0, 0.3);
    if (buffer.name.ends_with("running_var")) change(buffer, 1, 0.3);
  }
}

nn::TensorToStore stored(const std::string& name, const std::vector<std::int64_t>& shape,
                         const std::vector<float>& values) {
  nn::TensorToStore tensor{.name = name, .dtype = "F32", .shape = shape, .bytes = {}};
  tensor.bytes.resize(values.size() * sizeof(float));
  std::memcpy(tensor.bytes.data(), values.data(), tensor.bytes.size());
  return tensor;
}

void write(const std::filesystem::path& folder, const nn::ModelSpec& spec, bool onnx) {
  const nn::Model model = nn::make_model(spec, 1);
  disturb(*model.net);
  const std::size_t c = static_cast<std::size_t>(spec.c);
  const std::size_t pixels = static_cast<std::size_t>(spec.h * spec.w);
  std::vector<float> ours(kImages * pixels * c), theirs(ours.size());
  for (std::size_t n = 0; n < kImages; ++n)
    for (std::size_t p = 0; p < pixels; ++p)
      for (std::size_t k = 0; k < c; ++k) {
        const std::size_t at = (n * pixels + p) * c + k;
        ours[at] = theirs[(n * c + k) * pixels + p] = RandomStream(1, "images").normal(0, at);
      }
  const nn::ScopedEvaluation evaluation(*model.net);
  const NoGrad no_grad;
  const Tensor logits = model(Tensor::from(ours, {kImages, spec.h, spec.w, spec.c}));
  const nn::ModelInfo info{
      .class_names = std::vector<std::string>(static_cast<std::size_t>(spec.classes), "class"),
      .mean = std::vector<double>(c, 0.5),
      .stddev = std::vector<double>(c, 0.25)};
  if (onnx) {
    nn::write_onnx(folder / (spec.name + ".onnx"), model, info);
  } else {
    nn::save_model(folder / (spec.name + ".safetensors"), model, info);
  }
  nn::write_safetensors(folder / (spec.name + ".io.safetensors"),
                        {stored("input", {kImages, spec.c, spec.h, spec.w}, theirs),
                         stored("logits", {kImages, spec.classes}, logits.to_vector<float>())},
                        {});
}

int run(const std::filesystem::path& folder, bool onnx) {
  if (onnx && !nn::onnx_available()) {
    fmt::print(stderr, "export_models: this build of cucina has no ONNX\n");
    return 77;  // ctest's code for a skipped test
  }
  std::filesystem::create_directories(folder);
  for (const auto& [spec, torch] : wanted()) {
    if (onnx || torch) write(folder, spec, onnx);
  }
  return 0;
}

}  // namespace
}  // namespace cucina

int main(int argc, char** argv) {
  const std::string kind = argc == 3 ? argv[2] : "";
  if (kind != "onnx" && kind != "torch") {
    fmt::print(stderr, "Usage: export_models FOLDER onnx|torch\n");
    return 2;
  }
  try {
    return cucina::run(argv[1], kind == "onnx");
  } catch (const cucina::Error& error) {
    fmt::print(stderr, "export_models: {}\n", error.what());
    return 1;
  }
}
