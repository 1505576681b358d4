// `cucina export`: a trained model becomes a file for other programs.
#include <fmt/core.h>

#include <filesystem>
#include <memory>

#include "core/error.h"
#include "nn/onnx.h"
#include "nn/weights.h"
#include "recipe/cli/command.h"
#include "recipe/cli/options.h"

namespace cucina::cli {
namespace {

struct Options {
  std::string model_dir;
  std::string weights = "last";
  std::string onnx;
  std::string safetensors;
};

int run(const Options& options) {
  if (options.onnx.empty() && options.safetensors.empty())
    fail("export: nothing to write; give --onnx FILE or --safetensors FILE");
  const char* file = options.weights == "best" ? "best.safetensors" : "model.safetensors";
  const auto [model, info] = nn::load_model(std::filesystem::path(options.model_dir) / file);
  if (!options.onnx.empty()) {
    nn::write_onnx(options.onnx, model, info);
    print(fmt::format("{}: {}, opset 17, input (N, {}, {}, {})\n", options.onnx, model.spec.name,
                      model.spec.c, model.spec.h, model.spec.w));
  }
  if (!options.safetensors.empty()) {
    nn::save_model(options.safetensors, model, info);
    print(fmt::format("{}: {}, PyTorch's names and order\n", options.safetensors, model.spec.name));
  }
  return 0;
}

}  // namespace

Run add_export(CLI::App& app) {
  const auto options = std::make_shared<Options>();
  app.add_option("--model-dir", options->model_dir, "Folder of a training run or of an import")
      ->type_name("DIR")
      ->required();
  add_choice(app, "--weights", &options->weights, {"last", "best"},
             "Those of the end, or of the lowest validation loss");
  app.add_option("--onnx", options->onnx,
                 "Write an ONNX file: opset 17, standardised images (N, C, H, W) to logits; the "
                 "metadata hold mean, deviation and class names")
      ->type_name("FILE");
  app.add_option("--safetensors", options->safetensors,
                 "Write the arrays as a PyTorch user loads them, with the same metadata")
      ->type_name("FILE");
  return [options] { return run(*options); };
}

}  // namespace cucina::cli
