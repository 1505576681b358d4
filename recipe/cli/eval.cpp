// `cucina eval`: measures a trained model on a whole split.
#include <fmt/core.h>

#include <chrono>
#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>

#include "core/error.h"
#include "nn/parameter_arena.h"
#include "nn/weights.h"
#include "recipe/cli/command.h"
#include "recipe/cli/data_option.h"
#include "recipe/cli/options.h"
#include "recipe/data/loader.h"
#include "recipe/skeleton/evaluate.h"
#include "recipe/skeleton/fingerprint.h"

namespace cucina::cli {
namespace {

constexpr std::int64_t kBatch = 256;

struct Options {
  std::string model_dir;
  DataOptions data;
  std::string split = "test";
  ComputeOptions compute;
  bool json = false;
};

std::string table(const skeleton::Evaluation& result, const std::vector<std::string>& names) {
  std::string text;
  for (std::size_t i = 0; i < result.classes.size(); ++i) {
    const auto& [n, correct] = result.classes[i];
    const double share = n == 0 ? 0 : 100.0 * static_cast<double>(correct) / static_cast<double>(n);
    text += fmt::format("  {:<16} {:>6} of {:>6}  {:>6.2f} %\n", names[i], correct, n, share);
  }
  return text;
}

int run(Options options) {
  const Device device = options.compute.chosen_device();
  const std::string backend = options.compute.force();
  const nn::LoadedModel loaded =
      nn::load_model(std::filesystem::path(options.model_dir) / "model.safetensors");
  // Image files come as the model wants them.
  if (!options.data.size_given) {
    options.data.limits.h = loaded.model.spec.h;
    options.data.limits.w = loaded.model.spec.w;
  }
  options.data.limits.c = loaded.model.spec.c;
  const data::Dataset data = load_data(options.data);
  const data::ImageSet& set = options.split == "train"        ? data.train
                              : options.split == "validation" ? data.validation
                                                              : data.test;
  if (set.n == 0)
    fail(ExitCode::bad_file, "eval: the {} split of {} holds no images; choose another --split",
         options.split, options.data.path);
  const auto start = std::chrono::steady_clock::now();
  const std::string sha = skeleton::fingerprint(*loaded.model.net);
  const nn::ParameterArena arena(*loaded.model.net, device);
  loaded.model.net->move_buffers(device);
  const data::ChannelStats stats{.mean = loaded.info.mean, .stddev = loaded.info.stddev};
  const skeleton::Evaluation result =
      skeleton::evaluate(loaded.model, data::Loader(set, stats, kBatch, device));
  const double seconds =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  if (!options.json) {
    print(fmt::format("{} accuracy {:.2f} ± {:.2f} %, loss {:.4f} ± {:.4f}, {} images\n",
                      options.split, 100 * result.accuracy, 100 * result.accuracy_error,
                      result.loss, result.loss_error, result.n) +
          table(result, loaded.info.class_names));
    return 0;
  }
  nlohmann::ordered_json classes = nlohmann::ordered_json::array();
  for (std::size_t i = 0; i < result.classes.size(); ++i)
    classes.push_back({{"name", loaded.info.class_names[i]},
                       {"n", result.classes[i].n},
                       {"correct", result.classes[i].correct}});
  const nlohmann::ordered_json line = {{"split", options.split},
                                       {"n", result.n},
                                       {"correct", result.correct},
                                       {"accuracy", result.accuracy},
                                       {"accuracy_error", result.accuracy_error},
                                       {"loss", result.loss},
                                       {"loss_error", result.loss_error},
                                       {"seconds", seconds},
                                       {"params_sha256", sha},
                                       {"device", name(device)},
                                       {"backend", backend},
                                       {"classes", classes}};
  print(line_of(line));
  return 0;
}

}  // namespace

Run add_eval(CLI::App& app) {
  const auto options = std::make_shared<Options>();
  app.add_option("--model-dir", options->model_dir, "Folder of a training run")
      ->type_name("DIR")
      ->required();
  add_data(app, &options->data);
  app.get_option("--data")->required();
  add_choice(app, "--split", &options->split, {"train", "validation", "test"},
             "What to measure on");
  add_compute(app, &options->compute);
  app.add_flag("--json", options->json, "Print one line of JSON");
  return [options] { return run(*options); };
}

}  // namespace cucina::cli
