// Draws a bar, or prints lines.
#include "recipe/report/count_progress.h"

#include <fmt/format.h>

#include <algorithm>
#include <ostream>
#include <string_view>
#include <utility>

namespace cucina::report {
namespace {

constexpr double kSilentSeconds = 0.5;
constexpr double kRedrawSeconds = 0.1;
constexpr double kPlainSeconds = 10;
constexpr std::int64_t kCells = 16;

ProgressOutput silent() {
  ProgressOutput output;
  output.now = [] { return 0.0; };
  return output;
}

}  // namespace

CountProgress::CountProgress(std::string what, bool quiet)
    : CountProgress(std::move(what), quiet ? silent() : stderr_output(ColorMode::automatic)) {}

CountProgress::CountProgress(std::string what, ProgressOutput output)
    : what_(std::move(what)), output_(std::move(output)) {
  const char* terminal = output_.environment("TERM");
  bar_ = output_.is_terminal && !(terminal != nullptr && std::string_view(terminal) == "dumb");
  began_ = output_.now();
  // A bar waits for the silent seconds alone.
  drawn_ = bar_ ? began_ - kRedrawSeconds : began_;
}

CountProgress::~CountProgress() {
  if (open_) *output_.stream << "\r\x1b[K" << std::flush;
}

void CountProgress::show(std::int64_t done, std::int64_t all) {
  if (output_.stream == nullptr || all < 1) return;
  const double now = output_.now();
  if (now - began_ < kSilentSeconds) return;
  if (now - drawn_ < (bar_ ? kRedrawSeconds : kPlainSeconds)) return;
  drawn_ = now;
  if (!bar_) {
    *output_.stream << fmt::format("{} {}/{}\n", what_, done, all) << std::flush;
    return;
  }
  std::string cells;
  for (std::int64_t i = 0; i < kCells; ++i) cells += i < kCells * done / all ? "━" : "─";
  const double left = (now - began_) * double(all - done) / double(std::max<std::int64_t>(done, 1));
  *output_.stream << fmt::format("\r\x1b[K{} {} {}/{} ETA {}", what_, cells, done, all,
                                 short_time(left))
                  << std::flush;
  open_ = true;
}

}  // namespace cucina::report
