// The formulas of schedules.
#include "optim/schedule.h"

#include <fmt/core.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <numbers>
#include <utility>

#include "core/error.h"

namespace cucina::optim {
namespace {

constexpr std::array kNames{
    std::pair{ScheduleKind::constant, "constant"}, std::pair{ScheduleKind::cosine, "cosine"},
    std::pair{ScheduleKind::linear, "linear"},     std::pair{ScheduleKind::one_cycle, "one-cycle"},
    std::pair{ScheduleKind::step, "step"},
};

// From `a` at t = 0 to `b` at t = 1 along half a cosine.
double half_cosine(double a, double b, double t) {
  return b + (a - b) * (1 + std::cos(std::numbers::pi * t)) / 2;
}

double one_cycle(double highest, double step, double steps) {
  const double first = highest / 25;
  const double last = first / 1e4;
  const double top = 0.3 * steps - 1;  // the step that has the highest rate
  if (step <= top) return half_cosine(first, highest, top > 0 ? step / top : 1);
  const double end = steps - 1;
  return half_cosine(highest, last, std::min((step - top) / (end - top), 1.0));
}

bool ends(ScheduleKind kind) {
  return kind != ScheduleKind::constant && kind != ScheduleKind::step;
}

}  // namespace

ScheduleKind parse_schedule(std::string_view text) {
  for (const auto& [kind, each] : kNames)
    if (text == each) return kind;
  fail("schedule '{}' is unknown; choose one of {}", text, fmt::join(schedule_names(), ", "));
}

std::string_view name(ScheduleKind kind) {
  return std::find_if(kNames.begin(), kNames.end(),
                      [&](const auto& each) { return each.first == kind; })
      ->second;
}

std::vector<std::string> schedule_names() {
  std::vector<std::string> names;
  for (const auto& [kind, each] : kNames) names.emplace_back(each);
  return names;
}

Schedule::Schedule(const ScheduleOptions& options) : options_(options) {
  const auto& o = options_;
  if (!(o.learning_rate >= 0) || !std::isfinite(o.learning_rate))
    fail("schedule: the learning rate is {}; it must be finite and not negative", o.learning_rate);
  if (ends(o.kind) && o.total_steps < 1)
    fail("schedule {}: {} steps in all; at least 1 is needed", name(o.kind), o.total_steps);
  if (o.warmup_steps < 0)
    fail("schedule: {} steps of warm-up; give a number from 0 on", o.warmup_steps);
  if (o.warmup_steps > 0 && o.kind == ScheduleKind::one_cycle)
    fail("schedule one-cycle: {} steps of warm-up; its first 30 % are one, so leave it out",
         o.warmup_steps);
  if (ends(o.kind) && o.warmup_steps >= o.total_steps)
    fail("schedule {}: {} steps of warm-up of {} in all; fewer are needed", name(o.kind),
         o.warmup_steps, o.total_steps);
  if (!(o.final_ratio >= 0 && o.final_ratio <= 1))
    fail("schedule: the final ratio is {}; it must be in [0, 1]", o.final_ratio);
  if (o.kind == ScheduleKind::step && o.step_every < 1)
    fail("schedule step: the rate changes every {} steps; at least 1 is needed", o.step_every);
  if (!(o.step_factor > 0 && o.step_factor <= 1))
    fail("schedule: the factor is {}; it must be above 0 and at most 1", o.step_factor);
}

double Schedule::at(std::int64_t step) const {
  const auto& o = options_;
  const double highest = o.learning_rate;
  if (o.kind == ScheduleKind::one_cycle)
    return one_cycle(highest, static_cast<double>(step), static_cast<double>(o.total_steps));
  if (step < o.warmup_steps)
    return highest * static_cast<double>(step + 1) / static_cast<double>(o.warmup_steps);
  const std::int64_t since = step - o.warmup_steps;
  if (o.kind == ScheduleKind::constant) return highest;
  if (o.kind == ScheduleKind::step)
    return highest * std::pow(o.step_factor, static_cast<double>(since / o.step_every));
  const double t = std::min(
      static_cast<double>(since) / static_cast<double>(o.total_steps - o.warmup_steps), 1.0);
  const double last = highest * o.final_ratio;
  return o.kind == ScheduleKind::cosine ? half_cosine(highest, last, t)
                                        : highest + (last - highest) * t;
}

std::string Schedule::audit(std::int64_t steps) const {
  std::string text = fmt::format("{}, lr {:.3g} at step 1", name(options_.kind), at(0));
  for (const int percent : {10, 25, 50, 75, 100}) {
    const std::int64_t step = steps / 100 * percent + steps % 100 * percent / 100;
    text += fmt::format(", {:.3g} at {} %", at(step), percent);
  }
  // Steps without end are sampled.
  const std::int64_t samples = std::min<std::int64_t>(steps, 100'000);
  const std::int64_t stride = steps / std::max<std::int64_t>(samples, 1);
  double sum = 0;
  for (std::int64_t i = 0; i < samples; ++i) sum += at(i * stride);
  const double all = options_.learning_rate * static_cast<double>(samples);
  return text + fmt::format("; mean {:.2g} of the highest", all > 0 ? sum / all : 0);
}

}  // namespace cucina::optim
