// `cucina models`: what can be trained.
#include "nn/models.h"

#include <fmt/core.h>

#include <memory>
#include <nlohmann/json.hpp>

#include "recipe/cli/command.h"
#include "recipe/cli/options.h"

namespace cucina::cli {
namespace {

struct Options {
  std::string model;
  std::int64_t h = 28;
  std::int64_t w = 28;
  std::int64_t c = 1;
  std::int64_t classes = 10;
  bool json = false;
};

nn::Model build(const Options& options, const std::string& name) {
  return nn::build_model({.name = name,
                          .h = options.h,
                          .w = options.w,
                          .c = options.c,
                          .classes = static_cast<int>(options.classes)});
}

int run(const Options& options) {
  nlohmann::ordered_json list = nlohmann::ordered_json::array();
  std::string text;
  if (!options.model.empty()) {
    const nn::Model model = build(options, options.model);
    text = nn::summary(model);
    list.push_back({{"name", options.model}, {"parameters", nn::parameter_count(*model.net)}});
  } else {
    for (const nn::KnownModel& known : nn::known_models()) {
      const std::string name(known.name);
      const std::int64_t parameters = nn::parameter_count(*build(options, name).net);
      text += fmt::format("{:<9} {:>10} parameters  {}\n", name, parameters, known.what);
      list.push_back({{"name", name}, {"parameters", parameters}, {"what", known.what}});
    }
  }
  print(options.json ? list.dump() + "\n" : text);
  return 0;
}

}  // namespace

Run add_models(CLI::App& app) {
  const auto options = std::make_shared<Options>();
  app.add_option("model", options->model, "Show this model's layers, shapes and parameters");
  add_integer(app, "--height", &options->h, 1, "Image height in pixels");
  add_integer(app, "--width", &options->w, 1, "Image width in pixels");
  add_integer(app, "--channels", &options->c, 1, "Image channels");
  add_integer(app, "--classes", &options->classes, 1, "Number of classes");
  app.add_flag("--json", options->json, "Print JSON");
  return [options] { return run(*options); };
}

}  // namespace cucina::cli
