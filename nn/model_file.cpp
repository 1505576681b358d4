// Takes the layers out of a TOML file.
#include "nn/model_file.h"

#include "core/error.h"
#include "core/toml_file.h"

namespace cucina::nn {
namespace {

TomlHints hints() {
  return {.wanted = "a TOML file with [[layers]]", .form = "see docs/models.md for the form"};
}

std::string layers_of(const TomlFile& file, const std::string& path) {
  for (const auto& item : file.values.items()) {
    if (item.key() != "layers")
      fail(ExitCode::bad_file, "{}: '{}' is unknown; a model file holds [[layers]] alone", path,
           item.key().substr(0, 40));
  }
  if (!file.values.contains("layers") || !file.values["layers"].is_array())
    fail(ExitCode::bad_file, "{}: holds no [[layers]]; {}", path, hints().form);
  return file.values["layers"].dump();
}

}  // namespace

std::string read_layers(const std::filesystem::path& path) {
  return layers_of(read_toml(path, hints()), path.string());
}

std::string parse_layers(const std::string& text, const std::string& path) {
  return layers_of(parse_toml(text, path, hints()), path);
}

}  // namespace cucina::nn
