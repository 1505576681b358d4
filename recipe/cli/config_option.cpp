// Turns a config.toml into options.
#include "recipe/cli/config_option.h"

#include <fmt/ranges.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <array>
#include <string_view>

#include "core/error.h"
#include "core/toml_file.h"

namespace cucina::cli {
namespace {

struct Key {
  std::string_view setting;    // of config.toml
  std::string_view option;     // that sets it
  std::string_view separator;  // of several values in one text
};
constexpr std::array kKeys{
    Key{"seed", "--seed", ""},
    Key{"device", "--device", ""},
    Key{"backend", "--backend", ""},
    Key{"data.path", "--data", ""},
    Key{"data.image_size", "--image-size", ""},
    Key{"model.name", "--model", ""},
    Key{"model.dropout", "--dropout", ""},
    Key{"model.init", "--init", ""},
    Key{"model.head", "--head", ""},
    Key{"model.freeze", "--freeze", ","},
    Key{"train.epochs", "--epochs", ""},
    Key{"train.batch_size", "--batch-size", ""},
    Key{"train.optimizer", "--optimizer", ""},
    Key{"train.learning_rate", "--lr", ""},
    Key{"train.momentum", "--momentum", ""},
    Key{"train.nesterov", "--nesterov", ""},
    Key{"train.weight_decay", "--weight-decay", ""},
    Key{"train.groups", "--group", " "},
    Key{"train.clip_norm", "--clip-norm", ""},
    Key{"train.clip_value", "--clip-value", ""},
    Key{"train.accumulate", "--accumulate", ""},
    Key{"train.dtype", "--dtype", ""},
    Key{"train.fusion", "--no-fusion", ""},
    Key{"train.ema", "--ema", ""},
    Key{"train.swa_start", "--swa-start", ""},
    Key{"train.swa_every", "--swa-every", ""},
    Key{"train.lookahead", "--lookahead", ""},
    Key{"schedule.kind", "--schedule", ""},
    Key{"schedule.warmup_steps", "--warmup-steps", ""},
    Key{"schedule.final_lr_ratio", "--final-lr-ratio", ""},
    Key{"schedule.step_every", "--step-every", ""},
    Key{"schedule.step_factor", "--step-factor", ""},
    Key{"schedule.steps", "--schedule-steps", ""},
};

// What a run writes down and no option sets.
constexpr std::array<std::string_view, 11> kDerived{"cucina",
                                                    "data.name",
                                                    "data.sha256",
                                                    "data.train_images",
                                                    "data.validation_images",
                                                    "data.test_images",
                                                    "model.height",
                                                    "model.width",
                                                    "model.channels",
                                                    "model.classes",
                                                    "model.parameters"};

using Json = nlohmann::ordered_json;

std::string text_of(const Json& value) {
  if (value.is_string()) return value.get<std::string>();
  return value.is_number_float() ? fmt::format("{}", value.get<double>()) : value.dump();
}

std::vector<std::string> split(const std::string& text, std::string_view separator) {
  if (separator.empty()) return {text};
  std::vector<std::string> parts;
  for (std::size_t begin = 0; begin < text.size();) {
    const std::size_t end = std::min(text.find(separator, begin), text.size());
    parts.push_back(text.substr(begin, end - begin));
    begin = end + separator.size();
  }
  return parts;
}

class ConfigFile {
 public:
  ConfigFile(const std::string& path, CLI::App* app)
      : path_(path),
        app_(app),
        file_(read_toml(path, {.wanted = "the config.toml of a run",
                               .form = "give the config.toml of a run"})) {}

  void apply(SetupOptions* options) {
    for (const auto& [name, value] : file_.values.items()) {
      if (!value.is_object()) {
        take(name, value);
      } else if (name == "augment") {
        augment(value);
      } else {
        for (const auto& [key, each] : value.items()) take(name + "." + key, each);
      }
    }
    if (const auto* layers = find("/model/layers"); layers != nullptr && !given("--model")) {
      options->model = text_of(value_at("/model/name"));
      options->layers = text_of(*layers);
    }
    if (const auto* sha = find("/data/sha256"); sha != nullptr && !data_is_given_)
      options->data_sha256 = text_of(*sha);
  }

 private:
  const Json* find(const std::string& place) const {
    const Json::json_pointer pointer(place);
    return file_.values.contains(pointer) ? &file_.values[pointer] : nullptr;
  }

  const Json& value_at(const std::string& place) const {
    const Json* found = find(place);
    if (found == nullptr) fail("{}: there is no {}; give the config.toml of a run", path_, place);
    return *found;
  }

  bool given(std::string_view option) const {
    return app_->get_option(std::string(option))->count() > 0;
  }

  std::string where(std::string setting) const {
    std::replace(setting.begin(), setting.end(), '.', '/');
    const auto line = file_.lines.find("/" + setting);
    return line == file_.lines.end() ? path_ : fmt::format("{}:{}", path_, line->second);
  }

  void take(const std::string& setting, const Json& value) {
    if (setting == "model.layers") return;
    if (setting == "model.name" && find("/model/layers") != nullptr) return;
    const auto* key = std::find_if(kKeys.begin(), kKeys.end(),
                                   [&](const Key& each) { return each.setting == setting; });
    if (key == kKeys.end()) {
      if (std::find(kDerived.begin(), kDerived.end(), setting) != kDerived.end()) return;
      std::vector<std::string> known;
      for (const Key& each : kKeys) known.emplace_back(each.setting);
      fail("{}: {} is unknown{}", where(setting), setting.substr(0, 80),
           suggestion(setting, known));
    }
    if (value.is_structured()) fail("{}: {} has to be one value", where(setting), setting);
    const std::string text =
        setting == "train.fusion" ? (value == false ? "true" : "false") : text_of(value);
    set(setting, key->option, split(text, key->separator));
  }

  void augment(const Json& section) {
    std::string list;
    for (const auto& [name, value] : section.items())
      list += fmt::format("{}{}={}", list.empty() ? "" : ",", name, text_of(value));
    set("augment", "--augment", {list});
  }

  // As if the option had been given.
  void set(const std::string& setting, std::string_view name,
           const std::vector<std::string>& values) {
    CLI::Option* option = app_->get_option(std::string(name));
    if (name == "--data") data_is_given_ = option->count() > 0;
    if (option->count() > 0 || values.empty()) return;
    try {
      for (const std::string& value : values) option->add_result(value);
      option->run_callback();
    } catch (const CLI::Error&) {
      fail("{}: {} = {}: that is no value of {}", where(setting), setting, fmt::join(values, ","),
           name);
    } catch (const Error& error) {
      throw Error(fmt::format("{}: {}", where(setting), error.what()), error.code());
    }
  }

  std::string path_;
  CLI::App* app_;
  TomlFile file_;
  bool data_is_given_ = false;
};

}  // namespace

void add_config(CLI::App& app, SetupOptions* options) {
  app.add_option_function<std::string>(
         "--config",
         [&app, options](const std::string& path) {
           options->config = path;
           ConfigFile(path, &app).apply(options);
         },
         "Settings of an earlier run, from the config.toml in its folder; options given beside it "
         "come first")
      ->type_name("FILE");
}

void require_same_data(const SetupOptions& options, const data::Dataset& data) {
  if (options.data_sha256.empty() || options.data_sha256 == data.sha256) return;
  fail(ExitCode::bad_file,
       "{}: the run's data had SHA-256 {}..., those of {} have {}...; give the run's data, or name "
       "others with --data",
       options.config, options.data_sha256.substr(0, 16), options.data.path,
       data.sha256.substr(0, 16));
}

}  // namespace cucina::cli
