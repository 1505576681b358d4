// `cucina import`: weights that PyTorch trained become a model folder.
#include <fmt/core.h>

#include <charconv>
#include <cmath>
#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>

#include "core/config.h"
#include "core/error.h"
#include "nn/models.h"
#include "nn/weights.h"
#include "recipe/cli/command.h"
#include "recipe/cli/model_option.h"
#include "recipe/cli/options.h"
#include "recipe/report/run_directory.h"
#include "recipe/skeleton/fingerprint.h"

namespace cucina::cli {
namespace {

constexpr double kWhite = 255;  // what a white pixel holds

struct Options {
  std::string file;
  std::string model;
  std::int64_t h = 32;
  std::int64_t w = 32;
  std::int64_t c = 3;
  std::int64_t classes = 10;
  std::string mean;
  std::string stddev;
  std::string class_names;
  std::string out;
  bool overwrite = false;
  bool json = false;
};

std::vector<std::string> split_list(const std::string& text) {
  std::vector<std::string> parts;
  std::size_t begin = 0;
  while (true) {
    const std::size_t comma = text.find(',', begin);
    parts.push_back(text.substr(begin, comma - begin));
    if (comma == std::string::npos) return parts;
    begin = comma + 1;
  }
}

// "0.485,0.456,0.406" of white = 1, in the units of the stored pixels.
std::vector<double> channel_numbers(const std::string& what, const std::string& text,
                                    std::int64_t channels, ExitCode code) {
  std::vector<double> numbers;
  for (const std::string& part : split_list(text)) {
    double value = 0;
    const auto [end, error] = std::from_chars(part.data(), part.data() + part.size(), value);
    if (error != std::errc() || end != part.data() + part.size() || !std::isfinite(value))
      fail(code, "import: {} is '{}'; give one number per channel, as in 0.485,0.456,0.406", what,
           text);
    numbers.push_back(kWhite * value);
  }
  if (static_cast<std::int64_t>(numbers.size()) != channels)
    fail(code, "import: {} has {} numbers but images have {} channels", what, numbers.size(),
         channels);
  return numbers;
}

// The flag, else what the file says of itself, else a sentence.
std::vector<double> normalisation(const Options& options, const std::string& key,
                                  const std::string& flag, const nn::Safetensors& file) {
  if (!flag.empty()) return channel_numbers("--" + key, flag, options.c, ExitCode::usage);
  const auto found = file.metadata.find(key);
  if (found == file.metadata.end())
    fail(
        "import: {} does not say with which {} its images were normalised; give --{}, one number "
        "per channel with white as 1",
        options.file, key, key);
  return channel_numbers(fmt::format("{} in the metadata of {}", key, options.file), found->second,
                         options.c, ExitCode::bad_file);
}

std::vector<std::string> class_names(const Options& options) {
  std::vector<std::string> names;
  if (options.class_names.empty()) {
    for (std::int64_t i = 0; i < options.classes; ++i) names.push_back(std::to_string(i));
    return names;
  }
  names = split_list(options.class_names);
  if (static_cast<std::int64_t>(names.size()) != options.classes)
    fail("import: --class-names has {} names but --classes is {}", names.size(), options.classes);
  return names;
}

int run(const Options& options) {
  const nn::Safetensors file = nn::read_safetensors(options.file);
  const nn::ModelInfo info{.class_names = class_names(options),
                           .mean = normalisation(options, "mean", options.mean, file),
                           .stddev = normalisation(options, "std", options.stddev, file)};
  for (const double deviation : info.stddev) {
    if (!(deviation > 0))
      fail("import: a std of {} cannot be divided by; give --std with positive numbers",
           deviation / kWhite);
  }
  const nn::Model model = nn::make_model(
      model_spec(options.model, options.h, options.w, options.c, options.classes), /*seed=*/0);
  nn::load_weights(*model.net, file);

  const report::RunDirectory directory(
      options.out, options.overwrite ? report::Existing::replace : report::Existing::refuse);
  directory.write_config(
      {{"", {{"cucina", std::string(kVersion)}, {"imported_from", options.file}}},
       {"model",
        {{"name", model.spec.name},
         {"height", options.h},
         {"width", options.w},
         {"channels", options.c},
         {"classes", options.classes},
         {"parameters", nn::parameter_count(*model.net)}}}});
  nn::save_model(directory.model(), model, info);
  const std::string sha = skeleton::fingerprint(*model.net);
  if (options.json) {
    const nlohmann::ordered_json line = {{"model", model.spec.name},
                                         {"parameters", nn::parameter_count(*model.net)},
                                         {"params_sha256", sha},
                                         {"out", options.out}};
    print(line_of(line));
  } else {
    print(fmt::format("{}: {} parameters of {} into {}\n", model.spec.name,
                      nn::parameter_count(*model.net), options.file, directory.model().string()));
  }
  return 0;
}

}  // namespace

Run add_import(CLI::App& app) {
  const auto options = std::make_shared<Options>();
  app.add_option("--safetensors", options->file, "Weights under PyTorch's names, its order")
      ->type_name("FILE")
      ->required();
  add_model(app, &options->model, "Which model they are of");
  app.get_option("--model")->required();
  add_integer(app, "--height", &options->h, 1, "Image height in pixels");
  add_integer(app, "--width", &options->w, 1, "Image width in pixels");
  add_integer(app, "--channels", &options->c, 1, "Image channels");
  add_integer(app, "--classes", &options->classes, 1, "Number of classes");
  app.add_option("--mean", options->mean,
                 "Subtracted from each channel, white being 1; default: as the file's metadata say")
      ->type_name("M,M,M");
  app.add_option("--std", options->stddev, "Divides each channel, likewise")->type_name("S,S,S");
  app.add_option("--class-names", options->class_names, "Default 0, 1, ...")->type_name("A,B,...");
  app.add_option("--out", options->out, "Folder to make, for cucina eval --model-dir")
      ->type_name("DIR")
      ->required();
  app.add_flag("--overwrite", options->overwrite, "Replace the model that --out holds");
  app.add_flag("--json", options->json, "Print one line of JSON");
  return [options] { return run(*options); };
}

}  // namespace cucina::cli
