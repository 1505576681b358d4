// Draws, times and throttles the training progress.
#include "recipe/report/progress.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdlib>
#include <iostream>
#include <nlohmann/json.hpp>
#include <utility>
#include <vector>

#include "core/error.h"

namespace cucina::report {
namespace {

constexpr double kRedrawSeconds = 0.1;
constexpr double kPlainSeconds = 10.0;
constexpr double kForgetSeconds = 5.0;
constexpr std::int64_t kWarmUpSteps = 3;  // first touches of memory, autotuning, cold caches

constexpr std::string_view kWipe = "\r\x1b[K";

// What each further detail level leaves out, least important first.
enum Detail {
  kAll = 0,
  kShortBar,
  kNoRate,
  kNoErrors,
  kTinyBar,
  kNoSpeed,
  kNoAccuracy,
  kNoBar,
  kNoWord,
  kNoLoss,
  kLevels
};

int bar_cells(int detail) {
  if (detail >= kNoBar) return 0;
  return detail >= kTinyBar ? 4 : detail >= kShortBar ? 8 : 16;
}

// Columns a line takes: one for each UTF-8 character outside escape sequences.
std::size_t width(std::string_view line) {
  std::size_t count = 0;
  bool escape = false;
  for (const char c : line) {
    if (c == '\x1b') escape = true;
    if (!escape && (static_cast<unsigned char>(c) & 0xc0) != 0x80) ++count;
    if (escape && c == 'm') escape = false;
  }
  return count;
}

// The first `columns` characters of a line without escape sequences.
std::string cut(const std::string& line, std::size_t columns) {
  std::size_t at = 0;
  for (; at < line.size(); ++at)
    if ((static_cast<unsigned char>(line[at]) & 0xc0) != 0x80 && columns-- == 0) break;
  return line.substr(0, at);
}

std::string loss_text(const Estimate& loss, bool with_error) {
  const char* form = std::abs(loss.mean) >= 1e4 ? "{:.3e}" : "{:.4f}";
  std::string text = fmt::format(fmt::runtime(form), loss.mean);
  if (with_error && loss.error > 0)
    text += fmt::format(fmt::runtime("±" + std::string(form)), loss.error);
  return text;
}

std::string accuracy_text(const Estimate& accuracy, bool with_error) {
  std::string text = fmt::format("{:.2f}", 100 * accuracy.mean);
  if (with_error && accuracy.error > 0) text += fmt::format("±{:.2f}", 100 * accuracy.error);
  return text + "%";
}

std::string metrics_text(const Estimate& loss, const std::optional<Estimate>& accuracy,
                         int detail) {
  std::string text;
  if (detail < kNoLoss) text += "loss " + loss_text(loss, detail < kNoErrors);
  if (accuracy && detail < kNoAccuracy)
    text += " acc " + accuracy_text(*accuracy, detail < kNoErrors);
  return text;
}

std::string join(const std::vector<std::string>& parts) {
  std::string line;
  for (const auto& part : parts)
    if (!part.empty()) line += (line.empty() ? "" : " | ") + part;
  return line;
}

// The fullest of the levels of detail that fits into `columns`.
std::string fit(const std::function<std::string(int)>& line, int columns) {
  // The last column stays free: some terminals wrap as soon as it is written.
  const auto room = static_cast<std::size_t>(std::max(columns - 1, 1));
  for (int detail = kAll; detail < kLevels; ++detail)
    if (std::string text = line(detail); width(text) <= room) return text;
  return cut(line(kLevels), room);
}

ProgressMode resolve(ProgressMode mode, const ProgressOutput& output) {
  if (mode != ProgressMode::automatic) return mode;
  const char* terminal = output.environment("TERM");
  const bool dumb = terminal != nullptr && std::string_view(terminal) == "dumb";
  return output.is_terminal && !dumb ? ProgressMode::bar : ProgressMode::plain;
}

}  // namespace

ProgressMode parse_progress_mode(std::string_view text) {
  if (text == "auto") return ProgressMode::automatic;
  if (text == "bar") return ProgressMode::bar;
  if (text == "plain") return ProgressMode::plain;
  if (text == "json") return ProgressMode::json;
  if (text == "none") return ProgressMode::none;
  fail("--progress {}: no such mode; give auto, bar, plain, json or none", text);
}

ProgressOutput stderr_output(ColorMode color) {
  const bool is_terminal = ::isatty(STDERR_FILENO) == 1;
  const auto columns = [] {
    winsize size{};
    if (::ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0) return int{size.ws_col};
    return 80;
  };
  const auto now = [] {
    return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch())
        .count();
  };
  return {.stream = &std::cerr,
          .is_terminal = is_terminal,
          .color = use_color(color, is_terminal),
          .columns = columns,
          .now = now};
}

Progress::Progress(ProgressMode mode, std::int64_t epochs, std::int64_t steps,
                   ProgressOutput output)
    : mode_(resolve(mode, output)),
      epochs_(epochs),
      steps_(steps),
      output_(std::move(output)),
      drawn_at_(output_.now() - (mode_ == ProgressMode::bar ? kRedrawSeconds : 0.0)) {}

Progress::~Progress() {
  if (line_open_) *output_.stream << '\n' << std::flush;
}

void Progress::epoch_begins(std::int64_t epoch) {
  const double now = output_.now();
  if (paused_at_) {
    paused_seconds_ += now - *paused_at_;
    ++pauses_;
    paused_at_.reset();
  }
  epoch_ = epoch;
  last_ = {};
  step_at_ = now;
}

void Progress::pause() { paused_at_ = output_.now(); }

void Progress::measure(std::int64_t images) {
  const double now = output_.now();
  if (step_at_ && steps_seen_ >= kWarmUpSteps) {
    const double seconds = now - *step_at_;
    const double keep = std::exp(-seconds / kForgetSeconds);
    recent_seconds_ = recent_seconds_ * keep + seconds;
    recent_images_ = recent_images_ * keep + static_cast<double>(images);
    recent_steps_ = recent_steps_ * keep + 1.0;
  }
  ++steps_seen_;
  step_at_ = now;
}

double Progress::images_per_second() const {
  return recent_seconds_ > 0 ? recent_images_ / recent_seconds_ : 0.0;
}

double Progress::seconds_left() const {
  if (recent_steps_ <= 0) return -1.0;
  const auto steps = static_cast<double>((epochs_ - epoch_) * steps_ + steps_ - last_.step);
  const double evaluation = pauses_ > 0 ? paused_seconds_ / static_cast<double>(pauses_) : 0.0;
  return steps * recent_seconds_ / recent_steps_ +
         static_cast<double>(epochs_ - epoch_ + 1) * evaluation;
}

void Progress::step(const ProgressStep& step) {
  measure(step.images);
  last_ = step;
  const double period = mode_ == ProgressMode::bar ? kRedrawSeconds : kPlainSeconds;
  const double now = output_.now();
  if (mode_ == ProgressMode::none || now - drawn_at_ < period) return;
  drawn_at_ = now;
  if (mode_ == ProgressMode::bar)
    draw(fit([this](int detail) { return bar_line(detail); }, output_.columns()));
  else
    write_line(mode_ == ProgressMode::json ? json_line() : plain_line());
}

void Progress::epoch_ends(const EpochEnd& end) {
  if (mode_ == ProgressMode::none) return;
  if (mode_ == ProgressMode::bar) {
    clear();
    write_line(fit([&](int detail) { return epoch_line(end, detail); }, output_.columns()));
    return;
  }
  drawn_at_ = output_.now();
  last_.step = steps_;
  last_.loss = end.loss;
  last_.accuracy = end.accuracy;
  last_.learning_rate = end.learning_rate;
  write_line(mode_ == ProgressMode::json ? json_line() : epoch_line(end, kAll));
}

void Progress::note(std::string_view text) {
  if (mode_ == ProgressMode::bar)
    draw(cut(std::string(text), static_cast<std::size_t>(std::max(output_.columns() - 1, 1))));
  else if (mode_ == ProgressMode::plain)
    write_line(std::string(text));
}

void Progress::clear() {
  if (line_open_) *output_.stream << kWipe << std::flush;
  line_open_ = false;
}

void Progress::draw(const std::string& line) {
  *output_.stream << kWipe << line << std::flush;
  line_open_ = true;
}

void Progress::write_line(const std::string& line) {
  *output_.stream << line << '\n' << std::flush;
}

std::string Progress::bar_line(int detail) const {
  std::string head = detail < kNoWord ? "epoch " : "";
  head += fmt::format("{}/{} ", epoch_, epochs_);
  if (const int cells = bar_cells(detail); cells > 0) {
    const std::int64_t filled =
        steps_ > 0 ? std::clamp<std::int64_t>(cells * last_.step / steps_, 0, cells) : 0;
    std::string done;
    std::string open;
    for (std::int64_t i = 0; i < cells; ++i) (i < filled ? done : open) += i < filled ? "━" : "─";
    head += paint(done, Style::cyan, output_.color) + paint(open, Style::dim, output_.color) + " ";
  }
  head += fmt::format("{}/{}", last_.step, steps_);
  const double speed = images_per_second();
  const double left = seconds_left();
  return join({head, metrics_text(last_.loss, last_.accuracy, detail),
               detail < kNoRate ? "lr " + short_number(last_.learning_rate) : "",
               detail < kNoSpeed && speed > 0 ? short_count(speed) + " img/s" : "",
               left >= 0 ? "ETA " + short_time(left) : ""});
}

std::string Progress::plain_line() const {
  const double speed = images_per_second();
  const double left = seconds_left();
  return join(
      {fmt::format("epoch {}/{} {}/{}", epoch_, epochs_, last_.step, steps_),
       metrics_text(last_.loss, last_.accuracy, kAll), "lr " + short_number(last_.learning_rate),
       speed > 0 ? short_count(speed) + " img/s" : "", left >= 0 ? "ETA " + short_time(left) : ""});
}

std::string Progress::epoch_line(const EpochEnd& end, int detail) const {
  const double speed = images_per_second();
  const double left = seconds_left();
  const std::string validation =
      end.validation_loss
          ? "val " + metrics_text(*end.validation_loss, end.validation_accuracy, detail)
          : "";
  return join(
      {fmt::format("{}{}/{}", detail < kNoWord ? "epoch " : "", epoch_, epochs_),
       detail < kNoBar || validation.empty() ? metrics_text(end.loss, end.accuracy, detail) : "",
       detail < kNoLoss ? validation : "",
       detail < kNoRate ? "lr " + short_number(end.learning_rate) : "",
       detail < kNoSpeed && speed > 0 ? short_count(speed) + " img/s" : "",
       detail < kNoErrors && left > 0 && epoch_ < epochs_ ? "ETA " + short_time(left) : ""});
}

std::string Progress::json_line() const {
  nlohmann::ordered_json object = {
      {"epoch", epoch_}, {"epochs", epochs_}, {"step", last_.step}, {"steps", steps_}};
  object["loss"] = last_.loss.mean;  // NaN and infinity are written as null
  if (last_.accuracy) object["acc"] = last_.accuracy->mean;
  object["lr"] = last_.learning_rate;
  if (images_per_second() > 0) object["img_s"] = images_per_second();
  if (seconds_left() >= 0) object["eta_s"] = seconds_left();
  return object.dump();
}

std::string short_number(double value) {
  const double size = std::abs(value);
  if (!std::isfinite(value) || value == 0 || (size >= 0.01 && size < 1e4))
    return fmt::format("{:.4g}", value);
  const std::string text = fmt::format("{:.3e}", value);  // such as 2.500e-04
  const std::size_t e = text.find('e');
  std::string mantissa = text.substr(0, e);
  mantissa.erase(mantissa.find_last_not_of('0') + 1);
  if (mantissa.back() == '.') mantissa.pop_back();
  return fmt::format("{}e{}", mantissa, std::stoi(text.substr(e + 1)));
}

std::string short_time(double seconds) {
  if (!std::isfinite(seconds) || seconds > 1e9) return "?";
  const auto whole = static_cast<std::int64_t>(std::llround(std::max(seconds, 0.0)));
  if (whole < 3600) return fmt::format("{}:{:02}", whole / 60, whole % 60);
  return fmt::format("{}:{:02}:{:02}", whole / 3600, whole / 60 % 60, whole % 60);
}

std::string short_count(double value) {
  if (value < 999.5) return fmt::format("{:.0f}", value);
  if (value < 999.5e3) return fmt::format("{:.3g}k", value / 1e3);
  return fmt::format("{:.3g}M", value / 1e6);
}

}  // namespace cucina::report
