// `cucina check`: judges a training set-up before it trains.
#include "recipe/check/check.h"

#include <fmt/ranges.h>
#include <unistd.h>

#include <memory>
#include <nlohmann/json.hpp>

#include "core/error.h"
#include "recipe/check/pictures.h"
#include "recipe/check/plants.h"
#include "recipe/check/results.h"
#include "recipe/check/trainer_task.h"
#include "recipe/cli/command.h"
#include "recipe/cli/config_option.h"
#include "recipe/cli/people_option.h"
#include "recipe/cli/selection_option.h"
#include "recipe/cli/setup_option.h"
#include "recipe/report/color.h"
#include "recipe/skeleton/fingerprint.h"
#include "recipe/skeleton/trainer.h"

namespace cucina::cli {
namespace {

struct Options : SetupOptions {
  checks::Selection selection;
  std::string explain;
  std::string plant = "none";
  std::string color = "auto";
  PeopleOption people;
  std::string out;
  bool json = false;
};

int explain(const std::string& name) {
  if (name == "all") {
    for (const checks::Check& check : checks::all_checks())
      print(checks::explanation(check) + "\n");
    return 0;
  }
  print(checks::explanation(checks::select(checks::all_checks(), {.only = {name}}).front()));
  return 0;
}

int run(Options options) {
  if (!options.explain.empty()) return explain(options.explain);
  if (options.data.path.empty())
    fail("check: --data is missing; give digits, a folder, or a run's --config");
  const std::vector<checks::Check> chosen = checks::select(checks::all_checks(), options.selection);
  if (chosen.empty()) fail("check: --skip leaves no check to run");
  const skeleton::TrainOptions& train = options.train;
  complete_train(&options);
  const std::string backend = options.compute.force();
  const bool color =
      report::use_color(report::parse_color_mode(options.color), ::isatty(STDOUT_FILENO) == 1);

  data::Dataset data = load_data(options.data);
  require_same_data(options, data);
  checks::plant_in_data(options.plant, &data);
  augment_for(data.train, &options);
  nn::Model model = make_model(options, data);
  skeleton::Trainer trainer(model, data, train);
  checks::Task task = checks::task_of(trainer, model, data, train);
  show_people(options.people, &task, data.validation.n);
  if (options.plant != "none") checks::plant(options.plant, trainer, &task);

  const auto show = [&](const checks::Result& result) {
    if (!options.json) print(checks::table_row(result, color));
  };
  // Before the checks: a picture helps most where one of them fails.
  std::vector<std::string> files;
  if (!options.out.empty()) files = checks::write_pictures(task, options.out);
  const std::vector<checks::Result> results = checks::run_checks(chosen, task, show);
  const bool failed = checks::any_failed(results);
  if (options.json) {
    nlohmann::ordered_json rows = nlohmann::ordered_json::array();
    for (const checks::Result& each : results) rows.push_back(checks::to_json(each));
    const nlohmann::ordered_json all = {{"task", task.name},
                                        {"device", name(train.device)},
                                        {"backend", backend},
                                        {"failed", failed},
                                        {"params_sha256", skeleton::fingerprint(*model.net)},
                                        {"files", files},
                                        {"checks", rows}};
    print(line_of(all));
  } else {
    print(checks::summary(results));
    if (!files.empty()) print(fmt::format("{}: {}\n", options.out, fmt::join(files, ", ")));
  }
  return static_cast<int>(failed ? ExitCode::check_failed : ExitCode::ok);
}

}  // namespace

Run add_check(CLI::App& app) {
  const auto options = std::make_shared<Options>();
  add_setup(app, options.get());
  add_selection(app, &options->selection, &options->explain);
  std::vector<std::string> planted{"none"};
  for (const checks::Plant& each : checks::plants()) planted.emplace_back(each.name);
  add_choice(app, "--plant", &options->plant, planted,
             "Plant a bug first, to see it found: for demonstration");
  add_people(app, &options->people);
  app.add_option("--out", options->out,
                 "Leave pictures in this folder: inputs just before the net, known images, "
                 "predictions over time; docs/recipe.md tells how to read them")
      ->type_name("DIR");
  add_choice(app, "--color", &options->color, {"auto", "always", "never"}, "Colours on stdout");
  app.add_flag("--json", options->json, "Print one line of JSON");
  return [options] { return run(*options); };
}

}  // namespace cucina::cli
