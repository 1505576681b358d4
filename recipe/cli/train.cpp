// `cucina train`: from data to a run directory with settings, metrics and weights.
#include <fmt/chrono.h>
#include <fmt/core.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <ctime>
#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>

#include "core/config.h"
#include "core/error.h"
#include "nn/fusion.h"
#include "nn/models.h"
#include "nn/weights.h"
#include "recipe/cli/command.h"
#include "recipe/cli/config_option.h"
#include "recipe/cli/group_option.h"
#include "recipe/cli/resume.h"
#include "recipe/cli/setup_option.h"
#include "recipe/report/color.h"
#include "recipe/report/metrics_log.h"
#include "recipe/report/progress.h"
#include "recipe/report/run_directory.h"
#include "recipe/skeleton/checkpoint.h"
#include "recipe/skeleton/fingerprint.h"
#include "recipe/skeleton/interrupt.h"
#include "recipe/skeleton/optimizers.h"
#include "recipe/skeleton/trainer.h"

namespace cucina::cli {
namespace {

struct Options : SetupOptions {
  bool no_graph = false;
  std::string profile;
  std::string out;
  bool overwrite = false;
  bool resume = false;
  std::int64_t keep_checkpoints = 2;
  std::string progress = "auto";
  std::string color = "auto";
  bool json = false;
  bool quiet = false;
};

std::string default_out(const Options& options) {
  return fmt::format("runs/{:%Y%m%dT%H%M%SZ}-{}-{}", fmt::gmtime(std::time(nullptr)),
                     std::filesystem::path(options.model).stem().string(), options.seed);
}

std::vector<std::pair<std::string, report::Setting>> settings(
    const optim::ScheduleOptions& schedule) {
  using enum optim::ScheduleKind;
  std::vector<std::pair<std::string, report::Setting>> all{
      {"kind", std::string(optim::name(schedule.kind))}};
  if (schedule.kind != one_cycle) all.emplace_back("warmup_steps", schedule.warmup_steps);
  if (schedule.kind == cosine || schedule.kind == linear)
    all.emplace_back("final_lr_ratio", schedule.final_ratio);
  if (schedule.kind == step) {
    all.emplace_back("step_every", schedule.step_every);
    all.emplace_back("step_factor", schedule.step_factor);
  } else if (schedule.kind != constant) {
    all.emplace_back("steps", schedule.total_steps);
  }
  return all;
}

// Every setting that had an effect, so that the run can be repeated from this file alone.
std::vector<report::Section> settings(const Options& options, const data::Dataset& data,
                                      const nn::Model& model, const optim::Schedule& schedule,
                                      const std::string& device, const std::string& backend) {
  const skeleton::TrainOptions& train = options.train;
  const nn::ModelSpec& spec = model.spec;
  std::vector<report::Section> sections{
      {"",
       {{"cucina", std::string(kVersion)},
        {"seed", options.seed},
        {"device", device},
        {"backend", backend}}},
      {"data",
       {{"name", data.name},
        {"path", options.data.path},
        {"sha256", data.sha256},
        {"train_images", data.train.n},
        {"validation_images", data.validation.n},
        {"test_images", data.test.n}}},
      {"model",
       {{"name", spec.name},
        {"height", spec.h},
        {"width", spec.w},
        {"channels", spec.c},
        {"classes", std::int64_t{spec.classes}},
        {"dropout", spec.dropout},
        {"init", options.init},
        {"head", options.head},
        {"freeze", fmt::format("{}", fmt::join(options.freeze, ","))},
        {"parameters", nn::parameter_count(*model.net)}}},
      {"train",
       {{"epochs", train.epochs},
        {"batch_size", train.batch_size},
        {"optimizer", train.optimizer},
        {"learning_rate", train.learning_rate},
        {"momentum", train.momentum},
        {"nesterov", train.nesterov},
        {"weight_decay", train.weight_decay},
        {"groups", to_text(train.groups)},
        {"clip_norm", train.clip_norm},
        {"clip_value", train.clip_value},
        {"accumulate", train.accumulate},
        {"dtype", options.dtype},
        {"fusion", nn::fusion()},
        {"ema", train.ema},
        {"swa_start", train.swa_start},
        {"swa_every", train.swa_every},
        {"lookahead", train.lookahead}}},
      {"schedule", settings(schedule.options())},
  };
  if (options.data.size_given)
    sections[1].settings.emplace_back(
        "image_size", fmt::format("{}x{}", options.data.limits.h, options.data.limits.w));
  // Whatever becomes of the file, the run can be repeated.
  if (!spec.layers.empty()) sections[2].settings.emplace_back("layers", spec.layers);
  const report::Section augment = section(train.augmentation, train.mixing);
  if (!augment.settings.empty()) sections.push_back(augment);
  return sections;
}

std::string result_line(const skeleton::Evaluation& test, const skeleton::TrainResult& training,
                        const std::string& sha, const std::string& out, const std::string& device,
                        const std::string& backend) {
  nlohmann::ordered_json line = {{"test_accuracy", test.accuracy},
                                 {"test_accuracy_error", test.accuracy_error},
                                 {"test_loss", test.loss},
                                 {"test_loss_error", test.loss_error},
                                 {"test_images", test.n}};
  if (training.validation) {
    line["validation_accuracy"] = training.validation->accuracy;
    line["validation_loss"] = training.validation->loss;
  }
  line["seconds"] = training.seconds;
  line["steps"] = training.steps;
  line["params_sha256"] = sha;
  line["out"] = out;
  line["device"] = device;
  line["backend"] = backend;
  return line_of(line);
}

void check_combinations(const Options& options) {
  if (options.resume && options.overwrite)
    fail("--resume and --overwrite contradict each other; give one of them");
  if (options.resume && options.out.empty())
    fail("--resume: which run? name its folder with --out");
  if (options.keep_checkpoints == 0 && options.train.checkpoint_every > 0)
    fail("--checkpoint-every {}: with --keep-checkpoints 0 none is written; leave one of them out",
         options.train.checkpoint_every);
}

// What a run that was stopped is resumed from: nothing where it must start from the beginning.
std::optional<skeleton::Checkpoint> make_ready(const Options& options,
                                               const skeleton::Settings& settings) {
  if (!options.resume) {
    report::RunDirectory(options.out,
                         options.overwrite ? report::Existing::replace : report::Existing::refuse);
    return std::nullopt;
  }
  auto checkpoint = checkpoint_of(options.out, settings);
  if (!checkpoint) {
    report::RunDirectory(options.out, report::Existing::replace);
    if (!options.quiet)
      fmt::print(stderr, "cucina: {} holds no checkpoint; the run starts from the beginning\n",
                 options.out);
    return std::nullopt;
  }
  report::rewind_metrics(report::RunDirectory(options.out, report::Existing::keep).metrics(),
                         checkpoint->position.step);
  if (!options.quiet)
    fmt::print(stderr, "cucina: going on after step {}\n", checkpoint->position.step);
  return checkpoint;
}

void announce(const Options& options, const nn::Model& model, const data::Dataset& data,
              skeleton::Trainer& trainer, const std::string& where) {
  if (options.quiet) return;
  fmt::print(stderr, "{}: {} parameters, {} training images, {} {}, into {}\n", model.spec.name,
             nn::parameter_count(*model.net), data.train.n, trainer.optimizer().describe(), where,
             options.out);
  if (options.train.weight_decay > 0 || !options.train.groups.empty() || !options.freeze.empty())
    fmt::print(stderr, "{}", skeleton::describe_groups(trainer.arena(), options.train));
  const optim::Schedule& schedule = trainer.schedule();
  if (schedule.options().kind != optim::ScheduleKind::constant || schedule.options().warmup_steps)
    fmt::print(stderr, "schedule: {}\n", schedule.audit(schedule.options().total_steps));
}

int run(Options options) {
  check_combinations(options);
  complete_train(&options);
  const std::string backend = options.compute.force();
  const report::ColorMode color = report::parse_color_mode(options.color);
  const report::ProgressMode progress_mode =
      options.quiet ? report::ProgressMode::none : report::parse_progress_mode(options.progress);
  options.train.graph = !options.no_graph;
  if (options.out.empty()) options.out = default_out(options);

  const data::Dataset data = load_data(options.data, options.quiet);
  require_same_data(options, data);
  augment_for(data.train, &options);
  nn::Model model = make_model(options, data);
  skeleton::Trainer trainer(model, data, options.train);

  const std::string device_name(name(options.train.device));
  const auto sections = settings(options, data, model, trainer.schedule(), device_name, backend);

  // From here on files are written.
  const auto checkpoint = make_ready(options, report::flatten(sections));
  if (checkpoint) trainer.resume(*checkpoint);
  const report::RunDirectory directory(options.out, report::Existing::keep);
  directory.write_config(sections);
  report::MetricsLog metrics(directory.metrics(), checkpoint.has_value());
  announce(options, model, data, trainer, fmt::format("on {}, backend {}", device_name, backend));

  const skeleton::InterruptGuard interrupts;
  const skeleton::CheckpointFolder checkpoints(directory.checkpoints(),
                                               std::max<std::int64_t>(options.keep_checkpoints, 1),
                                               report::flatten(sections));
  const auto save = [&](const std::filesystem::path& path) {
    const skeleton::Trainer::Averaged averaged(trainer);
    nn::save_model(path, model,
                   {.class_names = data.class_names,
                    .mean = trainer.statistics().mean,
                    .stddev = trainer.statistics().stddev,
                    .recipe = report::flatten(sections)});
  };
  skeleton::TrainResult training;
  {
    report::Progress progress(progress_mode, options.train.epochs, trainer.steps_per_epoch(),
                              report::stderr_output(color));
    std::optional<report::Trace> trace;
    if (!options.profile.empty()) trace.emplace(options.profile);
    training = trainer.run({.progress = &progress,
                            .metrics = &metrics,
                            .checkpoints = options.keep_checkpoints > 0 ? &checkpoints : nullptr,
                            .trace = trace ? &*trace : nullptr,
                            .on_best = [&] { save(directory.best_model()); },
                            .note =
                                [&](const std::string& sentence) {
                                  if (!options.quiet) fmt::print(stderr, "cucina: {}\n", sentence);
                                }});
    if (trace) trace->write();
  }
  save(directory.model());
  const auto stopped = [&](int signal) {
    if (!options.quiet)
      fmt::print(stderr, "cucina: stopped by signal {} after step {}; the weights are in {}{}\n",
                 signal, training.steps, directory.model().string(),
                 options.keep_checkpoints > 0 ? ", and --resume goes on from here" : "");
    return 128 + signal;
  };
  if (training.signal != 0) return stopped(training.signal);

  const skeleton::Evaluation test = trainer.evaluate(data.test);
  if (const int signal = skeleton::InterruptGuard::pending(); signal != 0) return stopped(signal);
  metrics.write({.unix_time = static_cast<double>(std::time(nullptr)),
                 .step = training.steps,
                 .epoch = options.train.epochs,
                 .split = "test",
                 .loss = test.loss,
                 .accuracy = test.accuracy,
                 .learning_rate = std::nullopt});
  const skeleton::Trainer::Averaged averaged(trainer);
  const std::string sha = skeleton::fingerprint(*model.net);
  if (!std::isfinite(test.loss))
    fail(ExitCode::diverged, "train: the test loss is {}; lower --lr, which is {}", test.loss,
         options.train.learning_rate);
  if (options.json) {
    print(result_line(test, training, sha, options.out, device_name, backend));
  } else {
    print(fmt::format(
        "test accuracy {:.2f} ± {:.2f} %, loss {:.4f} ± {:.4f}, {} images, {} steps in {:.1f} s\n",
        100 * test.accuracy, 100 * test.accuracy_error, test.loss, test.loss_error, test.n,
        training.steps, training.seconds));
  }
  return 0;
}

}  // namespace

Run add_train(CLI::App& app) {
  const auto options = std::make_shared<Options>();
  skeleton::TrainOptions& train = options->train;
  // At a constant rate weights keep wandering around what they have learned: after two epochs of
  // MNIST single ones had 98.0 to 98.6 % right over three seeds, their averages 98.7 to 98.9 %.
  train.ema = 0.999;
  add_setup(app, options.get());
  app.get_option("--data")->required();
  app.add_flag("--no-graph", options->no_graph,
               "cuda: launch the kernels of a step one by one, not as one CUDA graph");
  app.add_flag("--detect-anomaly", train.detect_anomaly,
               "Stop at the first op with a NaN or Inf, and name it and the tensor; slow");
  app.add_option("--profile", options->profile,
                 "Write what each op of steps 4 to 23 takes, for ui.perfetto.dev")
      ->type_name("FILE");
  app.add_option_function<std::string>(
         "--out",
         [options](const std::string& folder) {
           if (folder.empty())
             fail("--out: the folder's name is empty; name one, or leave --out out");
           options->out = folder;
         },
         "Folder of this run; default runs/<UTC>-<model>-<seed>")
      ->type_name("DIR");
  app.add_flag("--overwrite", options->overwrite, "Replace the run that --out holds");
  app.add_flag(
      "--resume", options->resume,
      "Go on with the run that --out holds, from its newest checkpoint; the result is that "
      "of an unbroken run, bit for bit. Give its settings again; --epochs may be more");
  add_integer(app, "--checkpoint-every", &train.checkpoint_every, 0,
              "Steps between checkpoints, besides one after every epoch; 0: only there");
  add_integer(app, "--keep-checkpoints", &options->keep_checkpoints, 0,
              "How many of the newest stay in OUT/ckpt; 0: write none");
  add_choice(app, "--progress", &options->progress, {"auto", "bar", "plain", "json", "none"},
             "How progress is shown on stderr");
  add_choice(app, "--color", &options->color, {"auto", "always", "never"}, "Colours on stderr");
  app.add_flag("--json", options->json, "Print the result as one line of JSON");
  app.add_flag("-q,--quiet", options->quiet, "Nothing on stderr but errors");
  return [options, &app] {
    if (options->train.swa_start > 0 && app.count("--ema") == 0) options->train.ema = 0;
    return run(*options);
  };
}

}  // namespace cucina::cli
