// `cucina models`: what can be trained, and what it costs.
#include "nn/models.h"

#include <fmt/core.h>

#include <memory>
#include <nlohmann/json.hpp>

#include "nn/summary.h"
#include "recipe/cli/command.h"
#include "recipe/cli/model_option.h"
#include "recipe/cli/options.h"

namespace cucina::cli {
namespace {

struct Options {
  std::string model;
  std::int64_t h = 0, w = 0, c = 0, classes = 0;  // 0: what the model was made for
  bool json = false;
};

// A file of layers was made for MNIST's images, unless the options say otherwise.
nn::KnownModel known(const std::string& model) {
  check_model(model);
  for (const nn::KnownModel& each : nn::known_models()) {
    if (each.name == model) return each;
  }
  return {.name = model, .what = "", .image = {28, 28, 1}, .classes = 10};
}

nn::Model build(const Options& options, const nn::KnownModel& known) {
  const auto or_else = [](std::int64_t given, std::int64_t otherwise) {
    return given > 0 ? given : otherwise;
  };
  return nn::build_model(model_spec(std::string(known.name), or_else(options.h, known.image[0]),
                                    or_else(options.w, known.image[1]),
                                    or_else(options.c, known.image[2]),
                                    or_else(options.classes, known.classes)));
}

std::string image_text(const nn::ModelSpec& spec) {
  return fmt::format("{}x{}x{}", spec.h, spec.w, spec.c);
}

nlohmann::ordered_json to_json(const nn::Model& model, const nn::KnownModel& known) {
  const nn::Costs costs = nn::costs(model);
  const nn::ModelSpec& spec = model.spec;
  nlohmann::ordered_json json = {{"name", spec.name},
                                 {"parameters", costs.parameters},
                                 {"flops", costs.flops},
                                 {"activation_bytes", costs.activation_bytes},
                                 {"image", {spec.h, spec.w, spec.c}},
                                 {"classes", spec.classes},
                                 {"what", known.what}};
  if (!known.published.empty()) json["published"] = known.published;
  return json;
}

std::string to_line(const nn::Model& model, const nn::KnownModel& known) {
  const nn::Costs costs = nn::costs(model);
  return fmt::format("{:<15} {:>9} {:>10} parameters {:>7} FLOP  {}{}{}\n", known.name,
                     image_text(model.spec), costs.parameters, nn::in_thousands(costs.flops),
                     known.what, known.published.empty() ? "" : "; ", known.published);
}

int run(const Options& options) {
  nlohmann::ordered_json list = nlohmann::ordered_json::array();
  std::string text;
  if (!options.model.empty()) {
    const nn::KnownModel shown = known(options.model);
    const nn::Model model = build(options, shown);
    text = nn::summary(model);
    list.push_back(to_json(model, shown));
  } else {
    for (const nn::KnownModel& shown : nn::known_models()) {
      const nn::Model model = build(options, shown);
      text += to_line(model, shown);
      list.push_back(to_json(model, shown));
    }
  }
  print(options.json ? list.dump() + "\n" : text);
  return 0;
}

}  // namespace

Run add_models(CLI::App& app) {
  const auto options = std::make_shared<Options>();
  app.add_option("model", options->model,
                 "Show the layers of this one, or of a file.toml: shapes, parameters, "
                 "multiplications and additions of "
                 "forward, and the bytes of their results, for one image");
  add_integer(app, "--height", &options->h, 1, "Image height in pixels");
  add_integer(app, "--width", &options->w, 1, "Image width in pixels");
  add_integer(app, "--channels", &options->c, 1, "Image channels");
  add_integer(app, "--classes", &options->classes, 1, "Number of classes");
  for (const char* name : {"--height", "--width", "--channels", "--classes"})
    app.get_option(name)->default_str("what the model was made for");
  app.add_flag("--json", options->json, "Print JSON");
  return [options] { return run(*options); };
}

}  // namespace cucina::cli
