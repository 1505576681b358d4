// The program cucina_zoo: every bug and every healthy run, judged and counted.
#include <fmt/core.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <nlohmann/json.hpp>

#include "core/error.h"
#include "tests/zoo/zoo.h"

namespace cucina::zoo {
namespace {

struct Options {
  std::vector<std::string> only;
  std::uint64_t seed = 1;
  std::uint64_t healthy_seeds = 12;
  std::int64_t harm_seeds = 0;
  bool json = false;
  bool markdown = false;
};

const char* word(Catch caught) {
  return caught == Catch::right ? "right" : caught == Catch::missed ? "MISSED" : "WRONG REASON";
}

std::string join(const std::vector<std::string>& words) {
  std::string text;
  for (const std::string& each : words) text += (text.empty() ? "" : ", ") + each;
  return text;
}

bool wanted(const Options& options, const std::string& id) {
  return options.only.empty() ||
         std::find(options.only.begin(), options.only.end(), id) != options.only.end();
}

// "0.94 -> 0.11, harmful"
std::string text(const Harm& harm) {
  return fmt::format("{:.3g} -> {:.3g}, {}", harm.healthy, harm.spoiled,
                     harm.harmful() ? "harmful" : "latent");
}

std::string line(const Judged& each, const std::string& harm, bool markdown) {
  return fmt::format(
      fmt::runtime(markdown ? "| {} | {} | {} | {} | {} | {} | {} | {:.1f} |\n"
                            : "{:<4} {:<12} {:<46} {:<10} {:<26} {:<12} {}  {:.1f} s\n"),
      each.row.id, each.row.where, each.row.what, each.row.fixture, harm, word(each.caught),
      join(each.fired), each.seconds);
}

int run(const Options& options) {
  const std::vector<checks::Check>& all = checks::all_checks();
  std::vector<Judged> judged;
  std::vector<Harm> harms;
  if (options.markdown)
    fmt::print(
        "| bug | where | what | fixture | result | caught | by | seconds |\n"
        "| --- | --- | --- | --- | --- | --- | --- | --- |\n");
  for (const Row& row : rows()) {
    if (!wanted(options, row.id)) continue;
    judged.push_back(judge(row, options.seed, all));
    harms.push_back(options.harm_seeds > 0 ? harm_of(row, options.harm_seeds) : Harm{});
    const std::string harm = options.harm_seeds > 0 ? text(harms.back()) : "";
    if (!options.json) fmt::print("{}", line(judged.back(), harm, options.markdown));
    std::fflush(stdout);
  }
  std::vector<Silence> silences;
  for (const Healthy& each : healthy()) {
    if (!options.only.empty() && !wanted(options, "healthy")) break;
    for (std::uint64_t seed = 1; seed <= options.healthy_seeds; ++seed) {
      silences.push_back(listen(each, seed, all));
      const Silence& heard = silences.back();
      if (!heard.alarms.empty() && !options.json)
        fmt::print("{}FALSE ALARM {}, seed {}: {}\n", options.markdown ? "\n" : "", heard.name,
                   heard.seed, join(heard.alarms));
      std::fflush(stdout);
    }
  }
  const auto count = [&](Catch caught) {
    return std::count_if(judged.begin(), judged.end(),
                         [&](const Judged& each) { return each.caught == caught; });
  };
  const auto false_alarms = std::count_if(silences.begin(), silences.end(),
                                          [](const Silence& each) { return !each.alarms.empty(); });
  std::vector<double> seconds, digits;
  for (const Silence& each : silences) {
    seconds.push_back(each.seconds);
    if (each.name == "digits") digits.push_back(each.seconds);
  }
  if (options.json) {
    nlohmann::ordered_json bugs = nlohmann::ordered_json::array(), heard = bugs, needed = bugs;
    for (std::size_t i = 0; i < judged.size(); ++i) {
      bugs.push_back({{"id", judged[i].row.id},
                      {"caught", word(judged[i].caught)},
                      {"fired", judged[i].fired},
                      {"seconds", judged[i].seconds}});
      if (options.harm_seeds > 0)
        bugs.back().update({{"healthy", harms[i].healthy},
                            {"spoiled", harms[i].spoiled},
                            {"harmful", harms[i].harmful()}});
    }
    for (const Silence& each : silences) {
      if (!each.alarms.empty())
        heard.push_back({{"name", each.name}, {"seed", each.seed}, {"alarms", each.alarms}});
    }
    for (const checks::Check& check : all)
      needed.push_back({{"check", check.name}, {"alone", necessary_for(check.name, judged)}});
    fmt::print("{}\n", nlohmann::ordered_json{{"bugs", bugs},
                                              {"right", count(Catch::right)},
                                              {"healthy_runs", silences.size()},
                                              {"false_alarms", heard},
                                              {"necessity", needed},
                                              {"median_seconds", median(seconds)}}
                           .dump());
    return 0;
  }
  fmt::print("\n{} bugs: {} caught by the right check, {} for a wrong reason, {} missed\n",
             judged.size(), count(Catch::right), count(Catch::wrong_reason), count(Catch::missed));
  if (options.harm_seeds > 0)
    fmt::print(
        "{} of them change the result by more than three standard errors over {} seeds\n",
        std::count_if(harms.begin(), harms.end(), [](const Harm& each) { return each.harmful(); }),
        options.harm_seeds);
  if (!silences.empty())
    fmt::print(
        "{} healthy runs of {} configurations: {} false alarms; median {:.1f} s, digits {:.1f} s\n",
        silences.size(), healthy().size(), false_alarms, median(seconds), median(digits));
  fmt::print("\nbugs that nobody finds when a check is off:\n\n");
  for (const checks::Check& check : all)
    fmt::print("    {:<22} {}\n", check.name, necessary_for(check.name, judged));
  return 0;
}

}  // namespace
}  // namespace cucina::zoo

int main(int argc, char** argv) {
  cucina::zoo::Options options;
  CLI::App app("cucina_zoo judges the checks of the recipe by bugs that are known", "cucina_zoo");
  app.add_option("--only", options.only, "Ids of bugs, or `healthy`")->delimiter(',');
  app.add_option("--seed", options.seed, "Of the bugs' runs");
  app.add_option("--healthy-seeds", options.healthy_seeds, "Runs of each healthy configuration");
  app.add_option("--harm-seeds", options.harm_seeds,
                 "Train each bug and its healthy twin so often, and compare; 0: do not");
  app.add_flag("--json", options.json, "Print JSON");
  app.add_flag("--markdown", options.markdown, "Print docs/zoo.md's tables");
  CLI11_PARSE(app, argc, argv);
  try {
    return cucina::zoo::run(options);
  } catch (const cucina::Error& error) {
    fmt::print(stderr, "cucina_zoo: {}\n", error.what());
    return static_cast<int>(error.code());
  }
}
