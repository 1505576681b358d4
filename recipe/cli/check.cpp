// `cucina check`: judges a training set-up before it trains.
#include "recipe/check/check.h"

#include <fmt/core.h>
#include <unistd.h>

#include <memory>
#include <nlohmann/json.hpp>

#include "core/error.h"
#include "nn/init.h"
#include "nn/models.h"
#include "recipe/check/plants.h"
#include "recipe/check/results.h"
#include "recipe/check/trainer_task.h"
#include "recipe/cli/augment_option.h"
#include "recipe/cli/command.h"
#include "recipe/cli/model_option.h"
#include "recipe/cli/options.h"
#include "recipe/data/load.h"
#include "recipe/report/color.h"
#include "recipe/skeleton/fingerprint.h"
#include "recipe/skeleton/trainer.h"

namespace cucina::cli {
namespace {

struct Options {
  std::string data;
  std::string model = "lenet5";
  double dropout = 0;
  skeleton::TrainOptions train;
  std::string schedule = "constant";
  AugmentOption augment;
  std::int64_t seed = 1;
  std::string init = "torch";
  std::string head = "kaiming";
  ComputeOptions compute;
  checks::Selection selection;
  std::string explain;
  std::string plant = "none";
  std::string color = "auto";
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
  if (options.data.empty()) fail("check: --data is missing; give digits or a folder");
  const std::vector<checks::Check> chosen = checks::select(checks::all_checks(), options.selection);
  if (chosen.empty()) fail("check: --skip leaves no check to run");
  skeleton::TrainOptions& train = options.train;
  train.device = options.compute.chosen_device();
  const std::string backend = options.compute.force();
  train.seed = static_cast<std::uint64_t>(options.seed);
  train.schedule.kind = optim::parse_schedule(options.schedule);
  const bool color =
      report::use_color(report::parse_color_mode(options.color), ::isatty(STDOUT_FILENO) == 1);

  data::Dataset data = data::load(options.data);
  checks::plant_in_data(options.plant, &data);
  train.augmentation = options.augment.for_images(data.train.h, data.train.w, data.train.c);
  train.mixing = options.augment.mixing;
  nn::ModelSpec spec =
      model_spec(options.model, data.train.h, data.train.w, data.train.c, data.train.classes);
  spec.dropout = options.dropout;
  nn::Model model = nn::make_model(spec, train.seed, nn::initial_named(options.init));
  if (options.head == "prior") nn::init_head(*model.head, data::class_counts(data.train));
  if (options.head == "zero") nn::zero_head(*model.head);
  skeleton::Trainer trainer(model, data, train);
  checks::Task task = checks::task_of(trainer, model, data, train);
  if (options.plant != "none") checks::plant(options.plant, trainer, &task);

  const auto show = [&](const checks::Result& result) {
    if (!options.json) print(checks::table_row(result, color));
  };
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
                                        {"checks", rows}};
    print(all.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + "\n");
  } else {
    print(checks::summary(results));
  }
  return static_cast<int>(failed ? ExitCode::check_failed : ExitCode::ok);
}

void add_names(CLI::App& app, const std::string& name, std::vector<std::string>* names,
               const std::string& help) {
  app.add_option(name, *names, help)->type_name("CHECK")->delimiter(',')->expected(1, -1);
}

}  // namespace

Run add_check(CLI::App& app) {
  const auto options = std::make_shared<Options>();
  skeleton::TrainOptions& train = options->train;
  app.add_option("--data", options->data,
                 "digits, or a folder of idx files (MNIST, Fashion-MNIST) or of "
                 "cifar-10-batches-bin")
      ->type_name("digits|DIR");
  add_model(app, &options->model, "What is to be trained");
  add_number(app, "--dropout", &options->dropout, Numbers::below_one,
             "bn_cnn: how likely a channel is dropped");
  add_integer(app, "--epochs", &train.epochs, 1, "Passes that are meant; the schedule's length");
  add_integer(app, "--batch-size", &train.batch_size, 1, "Images per step");
  add_number(app, "--lr", &train.learning_rate, Numbers::positive, "Learning rate");
  add_choice(app, "--schedule", &options->schedule, optim::schedule_names(),
             "How the learning rate changes from step to step");
  add_integer(app, "--warmup-steps", &train.schedule.warmup_steps, 0,
              "So many steps in which the rate rises evenly to --lr");
  add_integer(app, "--step-every", &train.schedule.step_every, 0,
              "step: the rate is multiplied by 0.1 every so many steps");
  add_choice(app, "--optimizer", &train.optimizer, {"adam", "sgd", "muon"},
             "How weights are updated");
  add_number(app, "--momentum", &train.momentum, Numbers::below_one, "sgd: momentum");
  add_number(app, "--weight-decay", &train.weight_decay, Numbers::not_negative, "Of weights");
  add_number(app, "--clip-norm", &train.clip_norm, Numbers::not_negative,
             "Scale gradients down to this norm where theirs is larger; 0: never");
  add_augment(app, &options->augment);
  add_integer(app, "--seed", &options->seed, 0, "Of everything random, as in cucina train");
  add_choice(app, "--init", &options->init, nn::initial_names(), "How weights start");
  add_choice(app, "--head", &options->head, {"kaiming", "prior", "zero"},
             "How the last layer starts");
  add_compute(app, &options->compute);
  add_names(app, "--only", &options->selection.only, "Run these checks alone");
  add_names(app, "--skip", &options->selection.skip, "Leave these checks out");
  app.add_option("--explain", options->explain,
                 "Tell what a check does, why, and by which numbers; all: of every check")
      ->type_name("CHECK");
  std::vector<std::string> planted{"none"};
  for (const checks::Plant& each : checks::plants()) planted.emplace_back(each.name);
  add_choice(app, "--plant", &options->plant, planted,
             "Plant a bug first, to see it found: for demonstration");
  add_choice(app, "--color", &options->color, {"auto", "always", "never"}, "Colours on stdout");
  app.add_flag("--json", options->json, "Print one line of JSON");
  return [options] { return run(*options); };
}

}  // namespace cucina::cli
