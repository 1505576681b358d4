// The `cucina` program: chooses the subcommand, and turns every failure into one sentence on stderr
// and an exit code.
#include <fmt/format.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <new>
#include <string>
#include <vector>

#include "core/config.h"
#include "core/error.h"
#include "recipe/cli/command.h"
#include "recipe/cli/options.h"

namespace cucina::cli {
namespace {

struct Subcommand {
  const char* name;
  const char* what;
  Run (*add)(CLI::App& app);
};

constexpr Subcommand kSubcommands[] = {
    {"inspect", "Look at a data set before anything is trained", &add_inspect},
    {"train", "Train a model on a data set", &add_train},
    {"eval", "Measure a trained model on a whole split", &add_eval},
    {"check", "Judge a training set-up before it trains", &add_check},
    {"import", "Make a model folder from weights that PyTorch trained", &add_import},
    {"export", "Make an ONNX or safetensors file of a trained model", &add_export},
    {"models", "List the models, or show one's layers", &add_models},
    {"ops", "List the ops: backends, dtypes and cases", &add_ops},
    {"gradcheck", "Check the gradients of the hand-written kernels", &add_gradcheck},
    {"bench", "Time the kernels against the vendor's and against the machine", &add_bench},
    {"doctor", "Show what this build and this machine can do, and what is missing", &add_doctor},
};

std::vector<std::string> option_names(const CLI::App& app) {
  std::vector<std::string> names;
  for (const CLI::Option* option : app.get_options()) {
    for (const std::string& name : option->get_lnames()) names.push_back("--" + name);
  }
  return names;
}

std::vector<std::string> subcommand_names() {
  std::vector<std::string> names;
  for (const Subcommand& each : kSubcommands) names.emplace_back(each.name);
  return names;
}

std::string join(const std::vector<std::string>& words) {
  return fmt::format("{}", fmt::join(words, ", "));
}

// One sentence for what CLI11 found wrong.
std::string sentence(const CLI::ParseError& error, const CLI::App& app) {
  const std::vector<CLI::App*> used = app.get_subcommands();
  const std::vector<std::string> rest = app.remaining(true);
  if (used.empty()) {
    const std::string names = join(subcommand_names()) + "; see cucina --help";
    if (rest.empty()) return "no command is given; give one of " + names;
    const std::string& word = rest.front();
    if (word.starts_with('-'))
      return fmt::format("unknown flag {}{}", word,
                         suggestion(word.substr(0, word.find('=')), option_names(app)));
    return fmt::format("unknown command '{}'{}", word,
                       nearest(word, subcommand_names()).empty()
                           ? "; give one of " + names
                           : suggestion(word, subcommand_names()));
  }
  const CLI::App& command = *used.front();
  const std::string help = fmt::format("see cucina {} --help", command.get_name());
  if (!rest.empty()) {
    const std::string& word = rest.front();
    const std::string flag = word.substr(0, word.find('='));
    const std::string near = suggestion(flag, option_names(command));
    return fmt::format("{}: unknown {} {}{}", command.get_name(),
                       word.starts_with('-') ? "flag" : "argument", flag,
                       near.empty() ? "; " + help : near);
  }
  for (const CLI::Option* option : command.get_options()) {
    if (option->get_expected_max() == 1 && option->count() > 1)
      return fmt::format("{}: {} is given {} times; give it once", command.get_name(),
                         option->get_name(), option->count());
  }
  return fmt::format("{}: {}; {}", command.get_name(), error.what(), help);
}

int run(int argc, char** argv) {
  CLI::App app(
      "cucina trains small networks with hand-written CUDA kernels, on a GPU or without "
      "one.",
      "cucina");
  app.set_version_flag("--version", fmt::format("cucina {}", kVersion));
  app.require_subcommand(1);
  app.footer(
      "Exit codes: 0 ok, 1 the run failed, 2 wrong usage, 3 bad data or model file, 4 no "
      "device or out of memory,\n5 diverged, 6 a check failed, 130 and 143 stopped by a "
      "signal.");
  Run chosen;
  for (const Subcommand& each : kSubcommands) {
    CLI::App* command = app.add_subcommand(each.name, each.what);
    command->callback([&chosen, run = each.add(*command)] { chosen = run; });
  }
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    // --help and --version are successes to CLI11, with the text to print.
    if (error.get_exit_code() == static_cast<int>(CLI::ExitCodes::Success)) return app.exit(error);
    throw Error(sentence(error, app));
  }
  return chosen();
}

// libgomp's threads spin while they wait for each other. Where other programs want the cores too,
// every one of a training step's many short loops then waits for a whole time slice: measured, ten
// times slower. Sleeping costs microseconds. libgomp reads its environment before main() runs, so
// start again with it set, unless the user has chosen.
void let_threads_sleep(char** argv) {
  if (std::getenv("OMP_WAIT_POLICY") != nullptr || std::getenv("GOMP_SPINCOUNT") != nullptr) return;
  if (::setenv("OMP_WAIT_POLICY", "passive", 1) != 0) return;
  ::execv("/proc/self/exe", argv);  // returns only when that is not possible: then go on as we are
}

int report(std::string text, ExitCode code) {
  std::replace(text.begin(), text.end(), '\n', ' ');
  fmt::print(stderr, "cucina: {}\n", text);
  return static_cast<int>(code);
}

}  // namespace
}  // namespace cucina::cli

int main(int argc, char** argv) {
  using cucina::ExitCode;
  cucina::cli::let_threads_sleep(argv);
  try {
    return cucina::cli::run(argc, argv);
  } catch (const cucina::Error& error) {
    return cucina::cli::report(error.what(), error.code());
  } catch (const std::bad_alloc&) {
    return cucina::cli::report("the host is out of memory; use a smaller batch or model",
                               ExitCode::no_resources);
  } catch (const std::exception& error) {
    return cucina::cli::report(error.what(), ExitCode::run_failed);
  }
}
