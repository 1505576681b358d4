// Collects events and writes them.
#include "recipe/report/trace.h"

#include <utility>

#include "core/error.h"
#include "core/whole_file.h"

namespace cucina::report {
namespace {

double microseconds(OpRun::Time from, OpRun::Time to) {
  return std::chrono::duration<double, std::micro>(to - from).count();
}

double elements(const Shape& shape) { return static_cast<double>(shape.elements()); }

// Of convolutions and matrix products; each gradient that is a product takes as many again.
double flops(const OpRun& run) {
  if (run.name != "conv2d" && run.name != "linear" && run.name != "matmul") return 0;
  const Shape& w = run.inputs[1];
  // How many products make an element of the output: a filter's weights, or what a row has.
  const double terms =
      run.name == "conv2d"
          ? elements(w) / static_cast<double>(w[0])
          : elements(run.inputs[0]) / (elements(run.output) / static_cast<double>(run.output[-1]));
  return 2 * elements(run.output) * terms * (run.backward ? run.wanted[0] + run.wanted[1] : 1);
}

double bytes(const OpRun& run) {
  double all = elements(run.output);
  for (const Shape& input : run.inputs) all += input.rank() == 0 ? 0 : elements(input);
  return all * static_cast<double>(size_of(run.dtype)) * (run.backward ? 2 : 1);
}

}  // namespace

Trace::Trace(std::filesystem::path file, std::int64_t first, std::int64_t steps)
    : file_(std::move(file)), first_(first), steps_(steps) {}

Trace::~Trace() {
  if (op_watcher() == this) set_op_watcher(nullptr);
}

void Trace::begin_step(std::int64_t step) {
  watching_ = step >= first_ && step < first_ + steps_;
  if (watching_ && !start_) start_ = std::chrono::steady_clock::now();
  set_op_watcher(watching_ ? this : nullptr);
}

Trace::Part::Part(Trace* trace, std::string name)
    : trace_(trace), name_(std::move(name)), begin_(std::chrono::steady_clock::now()) {}

Trace::Part::~Part() {
  if (trace_ != nullptr && trace_->watching_)
    trace_->add(name_, "part", begin_, std::chrono::steady_clock::now(), {});
}

void Trace::ran(const OpRun& run) {
  nlohmann::ordered_json shapes = nlohmann::ordered_json::array();
  for (const Shape& input : run.inputs) shapes.push_back(to_string(input));
  nlohmann::ordered_json details = {{"inputs", shapes},
                                    {"output", to_string(run.output)},
                                    {"dtype", std::string(name(run.dtype))},
                                    {"bytes", bytes(run)}};
  if (const double count = flops(run); count > 0) details["flops"] = count;
  add(std::string(run.name) + (run.backward ? ".backward" : ".forward"), "op", run.begin, run.end,
      std::move(details));
}

void Trace::add(const std::string& name, const std::string& category, OpRun::Time begin,
                OpRun::Time end, nlohmann::ordered_json details) {
  nlohmann::ordered_json event = {{"name", name},
                                  {"cat", category},
                                  {"ph", "X"},
                                  {"ts", microseconds(*start_, begin)},
                                  {"dur", microseconds(begin, end)},
                                  {"pid", 1},
                                  {"tid", 1}};
  if (!details.empty()) event["args"] = std::move(details);
  events_.push_back(std::move(event));
}

void Trace::write() {
  WholeFile file(file_, [this](const std::string& cause) {
    fail(ExitCode::run_failed, "{}: the profile cannot be written: {}", file_.string(), cause);
  });
  file.write(nlohmann::ordered_json{{"traceEvents", events_}, {"displayTimeUnit", "ms"}}.dump(1));
  file.write("\n");
  file.finish();
}

}  // namespace cucina::report
