// Selects and runs checks.
#include "recipe/check/check.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <chrono>
#include <exception>
#include <new>

#include "core/error.h"

namespace cucina::checks {
namespace {

bool holds(const std::vector<std::string>& names, std::string_view name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

void require_known(const std::vector<Check>& from, const std::vector<std::string>& names) {
  std::vector<std::string_view> known;
  for (const Check& check : from) known.push_back(check.name);
  for (const std::string& name : names) {
    if (std::find(known.begin(), known.end(), name) == known.end())
      fail("check '{}': there is none; choose from {}", name, fmt::join(known, ", "));
  }
}

Verdict threw(const char* what) {
  return {.outcome = Outcome::fail,
          .reasons = {"threw"},
          .found = fmt::format("the task stopped with: {}", what),
          .hint = "make the task run before it is judged"};
}

Verdict guarded(const Check& check, const Task& task) {
  try {
    return check.run(task);
  } catch (const std::bad_alloc&) {
    throw;
  } catch (const std::exception& error) {
    return threw(error.what());
  }
}

}  // namespace

std::vector<Check> select(const std::vector<Check>& from, const Selection& selection) {
  require_known(from, selection.only);
  require_known(from, selection.skip);
  std::vector<Check> chosen;
  for (const Check& check : from) {
    if (!selection.only.empty() && !holds(selection.only, check.name)) continue;
    if (!holds(selection.skip, check.name)) chosen.push_back(check);
  }
  return chosen;
}

Result run_check(const Check& check, const Task& task) {
  const auto start = std::chrono::steady_clock::now();
  const Snapshot before(task);
  Verdict verdict = guarded(check, task);
  before.restore();
  if (Snapshot(task).fingerprint() != before.fingerprint())
    fail(ExitCode::run_failed, "check {}: left a trace in {}; report this", check.name, task.name);
  verdict.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  return {std::string(check.name), std::string(check.tip), std::move(verdict)};
}

std::vector<Result> run_checks(const std::vector<Check>& checks, const Task& task,
                               const std::function<void(const Result&)>& seen) {
  std::vector<Result> results;
  for (const Check& check : checks) {
    results.push_back(run_check(check, task));
    if (seen) seen(results.back());
  }
  return results;
}

bool any_failed(const std::vector<Result>& results) {
  return std::any_of(results.begin(), results.end(),
                     [](const Result& each) { return each.verdict.outcome == Outcome::fail; });
}

}  // namespace cucina::checks
