// `cucina bench`: the timed cases of the ops, on each backend, against the machine and the vendor.
#include <fmt/chrono.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <ctime>
#include <iostream>
#include <memory>
#include <optional>
#include <set>

#include "core/error.h"
#include "core/whole_file.h"
#include "recipe/cli/bench_report.h"
#include "recipe/cli/command.h"
#include "recipe/cli/options.h"
#include "recipe/cli/rooms.h"
#include "recipe/report/color.h"
#include "recipe/report/progress.h"
#include "recipe/skeleton/interrupt.h"

namespace cucina::cli {
namespace {

using drivers::Format;
using Json = nlohmann::ordered_json;

struct Options {
  std::vector<std::string> ops;
  std::string in_name;  // what a case's name has to hold
  std::string backend = "default";
  std::string dtype = "default";
  std::string device = "auto";
  double min_time = 0.1;
  std::string json;
  std::string color = "auto";
  bool quiet = false;
};

// One call to time, on those of the backends that have its format.
struct Job {
  OpEntry op;
  std::shared_ptr<const Case> c;
  const Call* call;
  Format format;
  std::vector<Backend> backends;
};

std::vector<Backend> backends_of(const Options& options) {
  if (options.backend == "default") return {Backend::hand, Backend::vendor};
  if (options.backend == "all") return {Backend::hand, Backend::vendor, Backend::reference};
  return {*parse_backend(options.backend)};
}

bool wanted(Format format, const Options& options, Device device) {
  const std::string_view is = drivers::name(format);
  if (options.dtype == "all") return true;
  if (options.dtype != "default") return is == options.dtype;
  return device == Device::cuda ? is != "f64" : is == "f32";
}

void add_jobs(const OpEntry& op, const Case& c, const Options& options, Device device,
              std::vector<Job>* jobs) {
  const auto shared = std::make_shared<const Case>(c);
  for (const Format format :
       {Format{DType::f32, Precision::f32}, Format{DType::f32, Precision::tf32},
        Format{DType::bf16, Precision::f32}, Format{DType::f64, Precision::f32}}) {
    if (!wanted(format, options, device)) continue;
    std::vector<Backend> backends;
    for (const Backend backend : backends_of(options)) {
      const std::vector<Format> formats = drivers::formats(op, backend, device);
      if (std::any_of(formats.begin(), formats.end(),
                      [&](Format each) { return name(each) == name(format); }))
        backends.push_back(backend);
    }
    if (backends.empty()) continue;
    for (const Call& call : shared->calls) jobs->push_back({op, shared, &call, format, backends});
  }
}

std::vector<Job> all_jobs(const Options& options, Device device) {
  std::vector<Job> jobs;
  for (const OpEntry& op : rooms_named("bench", options.ops)) {
    for (const Case& c : drivers::timed_cases(op, device)) {
      if (c.name.find(options.in_name) != std::string::npos)
        add_jobs(op, c, options, device, &jobs);
    }
  }
  if (jobs.empty())
    fail(
        "bench: no timed case has {} in its name on {} with this backend and dtype; cucina ops "
        "lists what there is",
        options.in_name.empty() ? "anything" : options.in_name, name(device));
  return jobs;
}

// How far it is, on stderr: one redrawn line on a terminal, else a line for each op.
class Talk {
 public:
  Talk(bool quiet, std::size_t jobs)
      : output_(report::stderr_output(report::ColorMode::never)), jobs_(jobs), quiet_(quiet) {}
  ~Talk() { clear(); }
  Talk(const Talk&) = delete;
  Talk& operator=(const Talk&) = delete;

  void say(const std::string& text) {
    if (quiet_) return;
    if (!output_.is_terminal) {
      fmt::print(stderr, "{}\n", text);
      return;
    }
    fmt::print(stderr, "\r\x1b[K{}",
               text.substr(0, static_cast<std::size_t>(output_.columns()) - 1));
    std::fflush(stderr);
    open_ = true;
  }
  void begins(const Job& job, std::size_t number) {
    if (number == 0) began_ = output_.now();
    const bool new_op = last_op_ != job.op.name;
    last_op_ = std::string(job.op.name);
    if (!output_.is_terminal && !new_op) return;
    const double spent = output_.now() - began_;
    const std::string left = number < 3
                                 ? ""
                                 : ", " +
                                       report::short_time(spent / static_cast<double>(number) *
                                                          static_cast<double>(jobs_ - number)) +
                                       " left";
    say(fmt::format("bench {}/{}: {} {} {} {}{}", number + 1, jobs_, job.op.name, job.c->name,
                    job.call->entry, drivers::name(job.format), left));
  }
  void clear() {
    if (open_) fmt::print(stderr, "\r\x1b[K");
    open_ = false;
  }

 private:
  report::ProgressOutput output_;
  std::size_t jobs_;
  bool quiet_;
  bool open_ = false;
  double began_ = 0;
  std::string last_op_;
};

std::string command_line() {
  std::ifstream file("/proc/self/cmdline", std::ios::binary);
  std::string text{std::istreambuf_iterator<char>(file), {}};
  if (!text.empty()) text.pop_back();
  std::replace(text.begin(), text.end(), '\0', ' ');
  return text;
}

std::string peaks_text(const drivers::Peaks& peaks, Device device) {
  return fmt::format("{}: copy {:.1f} GB/s, f32 {:.0f} GFLOP/s{}; {}\n", name(device),
                     peaks.copy / 1e9, peaks.f32 / 1e9,
                     device == Device::cpu ? ""
                                           : fmt::format(", tf32 {:.0f}, bf16 {:.0f} GFLOP/s",
                                                         peaks.tf32 / 1e9, peaks.bf16 / 1e9),
                     peaks.how);
}

int run(const Options& options) {
  const Device device = ComputeOptions{.device = options.device}.chosen_device();
  const std::vector<Job> jobs = all_jobs(options, device);
  const bool table = options.json != "-";
  const bool color =
      report::use_color(report::parse_color_mode(options.color), ::isatty(STDOUT_FILENO) == 1);
  std::optional<WholeFile> file;
  if (table && !options.json.empty()) {
    // Opened now, before minutes of measuring.
    file.emplace(options.json, [&](const std::string& cause) {
      fail(ExitCode::run_failed, "bench: {} cannot be written ({}); give --json another file",
           options.json, cause);
    });
  }

  const skeleton::InterruptGuard interrupts;
  Talk talk(options.quiet, jobs.size());
  talk.say("bench: measuring this machine");
  Json report = {{"v", 1},
                 {"date", fmt::format("{:%Y-%m-%dT%H:%M:%SZ}", fmt::gmtime(std::time(nullptr)))},
                 {"command", command_line()},
                 {"device", name(device)},
                 {"machine", machine_json()}};
  const drivers::Peaks peaks = drivers::measure_peaks(device);
  report["peaks"] = to_json(peaks);
  talk.clear();
  if (table) print(peaks_text(peaks, device));

  const drivers::TimingOptions timing{
      .min_seconds = options.min_time,
      .max_seconds = std::max(1.0, options.min_time),
      .cache_bytes = peaks.cache_bytes,
      .stop = [] { return skeleton::InterruptGuard::pending() != 0; }};
  Json rows = Json::array();
  std::string last_op;
  for (std::size_t i = 0; i < jobs.size() && !timing.stop(); ++i) {
    const Job& job = jobs[i];
    talk.begins(job, i);
    for (const BenchRow& row :
         make_rows(job.op, *job.c, *job.call, device, job.format, peaks,
                   drivers::time_call(*job.call, device, job.format, job.backends, timing))) {
      talk.clear();
      if (table && last_op != row.op) print(fmt::format("\n{}\n{}", row.op, table_head()));
      last_op = row.op;
      if (table) print(table_line(row, color));
      rows.push_back(to_json(row));
    }
  }
  const int signal = skeleton::InterruptGuard::pending();
  report["complete"] = signal == 0;
  report["rows"] = rows;
  const std::string text = report.dump(1) + "\n";
  if (!table) print(text);
  if (file) {
    file->write(text);
    file->finish();
  }
  if (signal == 0) return 0;
  talk.clear();
  if (!options.quiet)
    fmt::print(stderr, "cucina: stopped by signal {}; what was measured is above{}\n", signal,
               file ? " and in " + options.json : "");
  return 128 + signal;
}

}  // namespace

Run add_bench(CLI::App& app) {
  const auto options = std::make_shared<Options>();
  add_op_names(app, &options->ops, "Only this op; may be given several times");
  app.add_option("--case", options->in_name, "Only cases with this in their name")
      ->type_name("TEXT");
  add_choice(app, "--backend", &options->backend, {"default", "hand", "vendor", "reference", "all"},
             "Who is timed; default: hand and vendor");
  add_choice(app, "--dtype", &options->dtype, {"default", "f32", "tf32", "bf16", "f64", "all"},
             "In which numbers; default: f32 on the cpu, all but f64 on cuda");
  add_choice(app, "--device", &options->device, {"auto", "cpu", "cuda"},
             "Where to compute; auto: the GPU when there is one");
  add_number(app, "--min-time", &options->min_time, Numbers::positive,
             "Seconds of samples for each call and backend");
  app.add_option("--json", options->json,
                 "Write all of it there, too; - for stdout, instead of the table")
      ->type_name("FILE");
  add_choice(app, "--color", &options->color, {"auto", "always", "never"}, "Colours in the table");
  app.add_flag("-q,--quiet", options->quiet, "Nothing on stderr but errors");
  return [options] { return run(*options); };
}

}  // namespace cucina::cli
