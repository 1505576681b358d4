// `cucina inspect`: becomes one with a data set, before anything is trained.
#include <fmt/core.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <system_error>

#include "core/config.h"
#include "core/error.h"
#include "core/whole_file.h"
#include "nn/weights.h"
#include "recipe/check/results.h"
#include "recipe/cli/command.h"
#include "recipe/cli/data_option.h"
#include "recipe/cli/options.h"
#include "recipe/cli/selection_option.h"
#include "recipe/inspect/inspection.h"
#include "recipe/inspect/scalars.h"
#include "recipe/inspect/statistics.h"
#include "recipe/report/color.h"

namespace cucina::cli {
namespace {

using Json = nlohmann::ordered_json;

struct Options {
  DataOptions data;
  std::string out;
  bool overwrite = false;
  checks::Selection selection;
  std::string explain;
  std::string sort;
  std::vector<std::string> where;
  std::int64_t top = 20;
  std::string model_dir;
  std::string split = "validation";
  std::string color = "auto";
  bool json = false;
};

// The folder that --out names: inspect.json and a PNG for each sheet.
class Out {
 public:
  Out(const Options& options, const inspect::Subject& subject)
      : folder_(options.out), subject_(subject) {
    if (folder_.empty()) return;
    std::error_code error;
    std::filesystem::create_directories(folder_, error);
    if (error)
      fail("--out {}: cannot be made ({}); give another folder", options.out, error.message());
    if (!options.overwrite && std::filesystem::exists(folder_ / "inspect.json", error))
      fail("--out {}: already holds an inspect.json; give another folder, or --overwrite",
           options.out);
    if (!data::picture_files_available())
      fmt::print(stderr,
                 "cucina: no sheets are drawn, as this build has no PNG: cucina doctor says why\n");
  }

  void add(const inspect::Sheet& sheet) {
    const std::string file = sheet.name + ".png";
    if (folder_.empty() || !data::picture_files_available()) return;
    const std::vector<std::uint8_t> png = data::encode_png(inspect::draw(sheet, subject_));
    save(file, {reinterpret_cast<const char*>(png.data()), png.size()});
    sheets_.push_back({{"file", file}, {"title", sheet.title}});
  }

  const Json& sheets() const { return sheets_; }

  void finish(const Json& all) const {
    if (folder_.empty()) return;
    save("inspect.json", all.dump(1, ' ', false, Json::error_handler_t::replace) + "\n");
  }

 private:
  void save(const std::string& name, std::string_view contents) const {
    const std::filesystem::path path = folder_ / name;
    WholeFile to(path, [&](const std::string& cause) {
      fail(ExitCode::run_failed, "{}: cannot be written ({}); is the disk full?", path.string(),
           cause);
    });
    to.write(contents);
    to.finish();
  }

  std::filesystem::path folder_;
  const inspect::Subject& subject_;
  Json sheets_ = Json::array();
};

int explain(const std::string& name) {
  const checks::Selection one{.only = {name}};
  for (const inspect::Inspection& each :
       name == "all" ? inspect::all_inspections() : inspect::select(one))
    print(inspect::explanation(each) + (name == "all" ? "\n" : ""));
  return 0;
}

Json head(const Options& options, const inspect::Subject& subject) {
  return {{"cucina", kVersion},
          {"data", options.data.path},
          {"statistics", inspect::statistics(subject)}};
}

// --sort and --where: a list instead of checks.
int list(const Options& options, const inspect::Subject& subject, Out* out) {
  const bool falls = options.sort.starts_with('-');
  const std::string by = options.sort.empty() ? "brightness" : options.sort.substr(falls ? 1 : 0);
  std::vector<inspect::Value> values = inspect::values_of(subject, inspect::scalar_named(by));
  for (const std::string& text : options.where) {
    const inspect::Condition condition = inspect::parse_condition(text);
    std::erase_if(values, [&](const inspect::Value& each) {
      return !condition.holds(
          condition.scalar->of(subject.set(each.image.split), each.image.index));
    });
  }
  std::stable_sort(values.begin(), values.end(), [&](const auto& a, const auto& b) {
    return falls ? a.value > b.value : a.value < b.value;
  });
  const std::size_t found = values.size();
  values.resize(std::min(found, static_cast<std::size_t>(options.top)));
  Json images = Json::array();
  std::vector<inspect::Tile> tiles;
  for (const inspect::Value& each : values) {
    Json image = subject.to_json(each.image);
    image[by] = each.value;
    images.push_back(image);
    tiles.push_back({each.image, fmt::format("{:.4g}", each.value)});
    if (!options.json)
      print(fmt::format("{:<10.5g} {} ({})\n", each.value, subject.describe(each.image),
                        subject.class_name(subject.label(each.image))));
  }
  out->add({.name = "sorted", .title = by, .rows = inspect::in_rows(tiles)});
  Json all = head(options, subject);
  all["sorted"] = {{"by", options.sort.empty() ? by : options.sort},
                   {"where", options.where},
                   {"found", found},
                   {"images", images}};
  all["sheets"] = out->sheets();
  out->finish(all);
  print(options.json ? line_of(all)
                     : fmt::format("{} of {} images by {}\n", values.size(), found, by));
  return 0;
}

int run(Options options) {
  if (!options.explain.empty()) return explain(options.explain);
  if (options.data.path.empty())
    fail("inspect: --data is missing; give digits, a folder or a .csv");
  const std::vector<inspect::Inspection> chosen = inspect::select(options.selection);
  if (chosen.empty()) fail("inspect: --skip leaves no check to run");
  const bool lists = !options.sort.empty() || !options.where.empty();
  // Before the data are read, as that takes longer.
  if (!options.sort.empty())
    inspect::scalar_named(options.sort.substr(options.sort.starts_with('-') ? 1 : 0));
  for (const std::string& each : options.where) inspect::parse_condition(each);
  const bool color =
      report::use_color(report::parse_color_mode(options.color), ::isatty(STDOUT_FILENO) == 1);

  std::optional<nn::LoadedModel> loaded;
  if (!options.model_dir.empty()) {
    loaded = nn::load_model(std::filesystem::path(options.model_dir) / "model.safetensors");
    if (!options.data.size_given) {
      options.data.limits.h = loaded->model.spec.h;
      options.data.limits.w = loaded->model.spec.w;
    }
    options.data.limits.c = loaded->model.spec.c;
  }
  std::vector<data::Unreadable> unreadable;
  options.data.limits.unreadable = &unreadable;
  const data::Dataset data = load_data(options.data);
  inspect::Subject subject{.data = data, .unreadable = unreadable};
  if (loaded)
    subject.judged = {.model = &loaded->model,
                      .statistics = {.mean = loaded->info.mean, .stddev = loaded->info.stddev},
                      .split = options.split == "train"        ? inspect::Split::train
                               : options.split == "validation" ? inspect::Split::validation
                                                               : inspect::Split::test};
  Out out(options, subject);
  if (lists) return list(options, subject, &out);

  Json all = head(options, subject);
  if (!options.json) print(inspect::summary(all["statistics"]));
  out.add(inspect::samples(subject));
  std::vector<checks::Result> results;
  Json rows = Json::array();
  for (const inspect::Inspection& each : chosen) {
    const inspect::Inspected inspected = inspect::run_inspection(each, subject);
    results.push_back(inspected.result);
    Json row = checks::to_json(inspected.result);
    row["details"] = inspected.found.details;
    rows.push_back(row);
    for (const inspect::Sheet& sheet : inspected.found.sheets) out.add(sheet);
    if (!options.json) print(checks::table_row(inspected.result, color));
  }
  const bool failed = checks::any_failed(results);
  all["failed"] = failed;
  all["checks"] = rows;
  all["sheets"] = out.sheets();
  out.finish(all);
  print(options.json ? line_of(all) : checks::summary(results));
  return static_cast<int>(failed ? ExitCode::check_failed : ExitCode::ok);
}

}  // namespace

Run add_inspect(CLI::App& app) {
  const auto options = std::make_shared<Options>();
  add_data(app, &options->data);
  app.add_option("--out", options->out,
                 "Leave inspect.json here, and sheets of images: samples, duplicates, outliers, "
                 "suspected labels, mispredictions")
      ->type_name("DIR");
  app.add_flag("--overwrite", options->overwrite, "Replace what an earlier inspect left in --out");
  add_selection(app, &options->selection, &options->explain);
  app.add_option(
         "--sort", options->sort,
         "Instead of checks, list images by brightness, contrast, sharpness, border or "
         "saturation, the lowest first; with a minus before, the highest: --sort=-brightness")
      ->type_name("SCALAR");
  app.add_option(
         "--where", options->where,
         "Instead of checks, list images of which this is true: 'contrast<5'; as often as wanted")
      ->type_name("CONDITION")
      ->expected(1)
      ->take_all();
  add_integer(app, "--top", &options->top, 1, "--sort, --where: list so many images at most");
  app.add_option("--model-dir", options->model_dir,
                 "Folder of a training run: list what its model gets most wrong")
      ->type_name("DIR");
  add_choice(app, "--split", &options->split, {"train", "validation", "test"},
             "--model-dir: of which images");
  add_choice(app, "--color", &options->color, {"auto", "always", "never"}, "Colours on stdout");
  app.add_flag("--json", options->json, "Print one line of JSON");
  return [options] { return run(*options); };
}

}  // namespace cucina::cli
