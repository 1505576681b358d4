// Judges rows and healthy runs.
#include "tests/zoo/zoo.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <map>

#include "core/error.h"
#include "recipe/check/declared_loss.h"
#include "recipe/check/samples.h"

namespace cucina::zoo {
namespace {

double seconds_of(const std::vector<checks::Result>& results) {
  double sum = 0;
  for (const checks::Result& each : results) sum += each.verdict.seconds;
  return sum;
}

}  // namespace

std::vector<std::string> alarms(const std::vector<checks::Result>& results) {
  std::vector<std::string> fired;
  for (const checks::Result& each : results) {
    if (each.verdict.outcome < checks::Outcome::warn) continue;
    for (const std::string& reason : each.verdict.reasons)
      fired.push_back(each.check + ":" + reason);
  }
  return fired;
}

Judged judge(const Row& row, std::uint64_t seed, const std::vector<checks::Check>& checks) {
  const Fixture fixture({.fixture = row.fixture, .bug = row.id, .seed = seed});
  const std::vector<checks::Result> results = checks::run_checks(checks, fixture.task());
  Judged judged{.row = row, .fired = alarms(results), .seconds = seconds_of(results)};
  const bool right = std::any_of(row.right.begin(), row.right.end(), [&](const std::string& each) {
    return std::find(judged.fired.begin(), judged.fired.end(), each) != judged.fired.end();
  });
  judged.caught = right ? Catch::right : judged.fired.empty() ? Catch::missed : Catch::wrong_reason;
  return judged;
}

Silence listen(const Healthy& healthy, std::uint64_t seed,
               const std::vector<checks::Check>& checks) {
  const Fixture fixture({.fixture = healthy.fixture, .trap = healthy.trap, .seed = seed});
  const std::vector<checks::Result> results = checks::run_checks(checks, fixture.task());
  return {.name = healthy.trap.empty() ? healthy.fixture : healthy.fixture + " " + healthy.trap,
          .seed = seed,
          .alarms = alarms(results),
          .seconds = seconds_of(results)};
}

namespace {

constexpr std::int64_t kEpochs = 3;

// Of a whole small training.
double result_of(const Config& config) {
  const Fixture fixture(config);
  const checks::Task& task = fixture.task();
  task.model->train();
  if (task.train_to_best) {
    task.train_to_best();
  } else {
    for (std::int64_t epoch = 0; epoch < kEpochs; ++epoch) {
      task.train(epoch, [&](const checks::Batch& batch) {
        task.step(batch);
        return true;
      });
    }
  }
  if (task.classes > 0) return task.evaluate().accuracy;
  const checks::DeclaredLoss squares{.kind = checks::LossKind::mse};
  double sum = 0, n = 0;
  task.validation(0, [&](const checks::Batch& batch) {
    const Tensor outputs = checks::evaluated(task, batch.inputs).reshape(batch.targets.shape());
    sum += checks::declared_loss(squares, outputs, batch.targets) * double(batch.size());
    n += double(batch.size());
    return true;
  });
  return sum / n;
}

// Many rows have the same twin.
double healthy_result(const Config& config) {
  static std::map<std::string, double> known;
  const std::string key = config.fixture + " " + config.trap + std::to_string(config.seed);
  const auto found = known.find(key);
  return found != known.end() ? found->second : known[key] = result_of(config);
}

}  // namespace

bool Harm::harmful() const { return !(std::abs(healthy - spoiled) <= 3 * error); }

Harm harm_of(const Row& row, std::int64_t seeds) {
  std::vector<double> healthy, spoiled;
  for (std::int64_t i = 1; i <= seeds; ++i) {
    const auto seed = static_cast<std::uint64_t>(i);
    healthy.push_back(healthy_result({.fixture = row.fixture, .trap = row.twin, .seed = seed}));
    try {
      spoiled.push_back(result_of({.fixture = row.fixture, .bug = row.id, .seed = seed}));
    } catch (const Error&) {  // it cannot even be trained
      spoiled.push_back(std::nan(""));
    }
  }
  const checks::Moments a = checks::moments(healthy), b = checks::moments(spoiled);
  return {.healthy = a.mean, .spoiled = b.mean, .error = std::hypot(a.error, b.error)};
}

std::int64_t necessary_for(std::string_view check, const std::vector<Judged>& all) {
  const std::string prefix = std::string(check) + ":";
  return std::count_if(all.begin(), all.end(), [&](const Judged& each) {
    return !each.fired.empty() &&
           std::all_of(each.fired.begin(), each.fired.end(),
                       [&](const std::string& fired) { return fired.starts_with(prefix); });
  });
}

double median(std::vector<double> values) {
  if (values.empty()) return 0;
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

}  // namespace cucina::zoo
