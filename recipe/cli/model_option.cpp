// Tells names from files.
#include "recipe/cli/model_option.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <filesystem>
#include <vector>

#include "core/error.h"
#include "nn/model_file.h"
#include "recipe/cli/options.h"

namespace cucina::cli {
namespace {

bool is_file(const std::string& model) { return model.ends_with(".toml"); }

std::vector<std::string> known_names() {
  std::vector<std::string> names;
  for (const nn::KnownModel& known : nn::known_models()) names.emplace_back(known.name);
  return names;
}

}  // namespace

void check_model(const std::string& model) {
  const std::vector<std::string> names = known_names();
  if (is_file(model) || std::find(names.begin(), names.end(), model) != names.end()) return;
  fail("model '{}' is unknown; choose one of {}, or a file.toml of layers{}", model,
       fmt::join(names, ", "), suggestion(model, names));
}

void add_model(CLI::App& app, std::string* model, const std::string& help) {
  app.add_option_function<std::string>(
         "--model",
         [model](const std::string& text) {
           check_model(text);
           *model = text;
         },
         help + "; see cucina models and docs/models.md")
      ->type_name("NAME|FILE.toml")
      ->default_str(*model);
}

nn::ModelSpec model_spec(const std::string& model, std::int64_t h, std::int64_t w, std::int64_t c,
                         std::int64_t classes) {
  nn::ModelSpec spec{.name = model, .h = h, .w = w, .c = c, .classes = static_cast<int>(classes)};
  if (!is_file(model)) return spec;
  spec.name = std::filesystem::path(model).stem().string();
  spec.layers = nn::read_layers(model);
  return spec;
}

}  // namespace cucina::cli
