// `cucina gradcheck`: the gradients of the hand kernels in f64 against central differences, the
// worst error of each op.
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <memory>
#include <nlohmann/json.hpp>

#include "core/error.h"
#include "kernels/drivers/checks.h"
#include "optim/all_rooms.h"
#include "recipe/cli/command.h"
#include "recipe/cli/options.h"
#include "recipe/cli/rooms.h"
#include "recipe/skeleton/interrupt.h"

namespace cucina::cli {
namespace {

using Json = nlohmann::ordered_json;

struct Options {
  std::vector<std::string> ops;
  double tolerance = drivers::kGradientTolerance;
  bool json = false;
};

// The case of an op whose gradient is worst.
struct Worst {
  std::string op;
  std::string name;  // of the case
  std::size_t cases = 0;
  drivers::GradientCheck check;
};

// A failure counts as worse than any number: an input without a gradient has no error to compare.
bool is_worse(const drivers::GradientCheck& a, const drivers::GradientCheck& b) {
  if (a.failure.empty() != b.failure.empty()) return !a.failure.empty();
  return !(a.worst <= b.worst);
}

// Nothing when stopped by a signal.
std::optional<Worst> worst_of(const OpEntry& op) {
  Worst worst{.op = std::string(op.name), .name = {}, .cases = 0, .check = {}};
  for (const Case& c : op.cases()) {
    if (!c.function || !c.checked) continue;
    if (skeleton::InterruptGuard::pending() != 0) return std::nullopt;
    const drivers::GradientCheck check = drivers::check_gradient(c);
    if (worst.cases == 0 || is_worse(check, worst.check)) {
      worst.check = check;
      worst.name = c.name;
    }
    ++worst.cases;
  }
  return worst;
}

bool is_right(const Worst& worst, double tolerance) {
  return worst.check.failure.empty() && worst.check.worst < tolerance;  // NaN is not
}

std::string line(const Worst& worst, double tolerance) {
  if (worst.cases == 0) return fmt::format("{:<24} has no gradient\n", worst.op);
  return fmt::format("{:<24} {:>5}  {:>9.2e}  {:<4}  {} {}\n", worst.op, worst.cases,
                     worst.check.worst, is_right(worst, tolerance) ? "ok" : "FAIL", worst.name,
                     worst.check.worst_input);
}

Json to_json(const Worst& worst, double tolerance) {
  Json row = {{"op", worst.op}, {"cases", worst.cases}};
  if (worst.cases == 0) return row;
  row["worst"] = worst.check.worst;  // null where it is no number
  row["case"] = worst.name;
  row["input"] = worst.check.worst_input;
  row["ok"] = is_right(worst, tolerance);
  if (!worst.check.failure.empty()) row["failure"] = worst.check.failure;
  return row;
}

int run(const Options& options) {
  const std::vector<OpEntry> ops = rooms_named("gradcheck", options.ops);
  const skeleton::InterruptGuard interrupts;
  Json rows = Json::array();
  std::vector<std::string> failures;
  if (!options.json)
    print(fmt::format("{:<24} {:>5}  {:>9}  {:<4}  {}\n", "op", "cases", "worst", "", "where"));
  for (const OpEntry& op : ops) {
    const std::optional<Worst> worst = worst_of(op);
    if (!worst) break;
    if (worst->cases > 0 && !is_right(*worst, options.tolerance)) {
      const std::string& said = worst->check.failure;
      failures.push_back(fmt::format("{}, case {}: {}", op.name, worst->name,
                                     said.empty()
                                         ? fmt::format("the gradient of {} is off by {:.2e}",
                                                       worst->check.worst_input, worst->check.worst)
                                         : said));
    }
    if (!options.json) print(line(*worst, options.tolerance));
    rows.push_back(to_json(*worst, options.tolerance));
  }
  const int signal = skeleton::InterruptGuard::pending();
  if (options.json)
    print(Json{{"tolerance", options.tolerance}, {"complete", signal == 0}, {"ops", rows}}.dump() +
          "\n");
  if (signal != 0) return 128 + signal;
  if (failures.empty()) return 0;
  for (const std::string& failure : failures) fmt::print(stderr, "gradcheck: {}\n", failure);
  fail(ExitCode::run_failed, "gradcheck: {} of {} ops have an error that is not below {:g}",
       failures.size(), ops.size(), options.tolerance);
}

}  // namespace

Run add_gradcheck(CLI::App& app) {
  const auto options = std::make_shared<Options>();
  add_op_names(app, &options->ops, "Only this op; may be given several times");
  add_number(app, "--tolerance", &options->tolerance, Numbers::positive,
             "The error that every op has to stay below");
  app.add_flag("--json", options->json, "Print JSON");
  return [options] { return run(*options); };
}

}  // namespace cucina::cli
