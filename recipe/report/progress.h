// The training progress on stderr: one redrawn line on a terminal, whole plain lines everywhere
// else.
#pragma once

#include <cstdint>
#include <functional>
#include <iosfwd>
#include <optional>
#include <string>
#include <string_view>

#include "recipe/report/color.h"

namespace cucina::report {

enum class ProgressMode { automatic, bar, plain, json, none };

// "auto", "bar", "plain", "json" or "none"; anything else throws Error, exit code 2.
ProgressMode parse_progress_mode(std::string_view text);

// Where the progress goes and what it asks; tests give their own clock and stream.
struct ProgressOutput {
  std::ostream* stream = nullptr;
  bool is_terminal = false;
  bool color = false;
  std::function<int()> columns;  // asked at every redraw, so a resized window is followed
  std::function<double()> now;   // seconds, never going back
  Environment environment = process_environment();
};

// stderr with its width and a steady clock.
ProgressOutput stderr_output(ColorMode color);

// A mean with its standard error; an error of 0 is not shown.
struct Estimate {
  double mean = 0.0;
  double error = 0.0;
};

struct ProgressStep {
  std::int64_t step = 0;    // done in this epoch, from 1
  std::int64_t images = 0;  // in this step
  Estimate loss;
  std::optional<Estimate> accuracy = std::nullopt;  // 0..1
  double learning_rate = 0.0;
};

struct EpochEnd {
  Estimate loss;
  std::optional<Estimate> accuracy = std::nullopt;
  std::optional<Estimate> validation_loss = std::nullopt;
  std::optional<Estimate> validation_accuracy = std::nullopt;
  double learning_rate = 0.0;
};

// Call epoch_begins, then step after every step, then pause while evaluating, then epoch_ends.
// Draws at most ten times a second; never hides the cursor; a line left open is ended by the
// destructor.
class Progress {
 public:
  Progress(ProgressMode mode, std::int64_t epochs, std::int64_t steps, ProgressOutput output);
  ~Progress();
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  void epoch_begins(std::int64_t epoch);  // from 1
  void step(const ProgressStep& step);
  // The time until the next epoch_begins is no training time.
  void pause();
  void epoch_ends(const EpochEnd& end);
  // Something slow that is no step, such as "autotuning...".
  void note(std::string_view text);
  // Wipes the open line, so that another writer may print a whole one.
  void clear();

  // Images a second, a mean that forgets over some seconds, without the first steps; 0 when nothing
  // is known yet.
  double images_per_second() const;
  // Seconds to the end of the last epoch, evaluations included; negative when nothing is known yet.
  double seconds_left() const;

 private:
  // What is shown: at detail 0 everything, and less at each further one, for narrow windows.
  std::string bar_line(int detail) const;
  std::string plain_line() const;
  std::string epoch_line(const EpochEnd& end, int detail) const;
  std::string json_line() const;
  void measure(std::int64_t images);
  void draw(const std::string& line);
  void write_line(const std::string& line);

  ProgressMode mode_;
  std::int64_t epochs_;
  std::int64_t steps_;
  ProgressOutput output_;

  std::int64_t epoch_ = 0;
  ProgressStep last_;
  bool line_open_ = false;
  double drawn_at_;

  std::int64_t steps_seen_ = 0;
  std::optional<double> step_at_;  // end of the latest step, or of what came before it
  std::optional<double> paused_at_ = std::nullopt;
  double paused_seconds_ = 0.0;
  std::int64_t pauses_ = 0;
  double recent_seconds_ = 0.0;  // the three share one exponential forgetting
  double recent_images_ = 0.0;
  double recent_steps_ = 0.0;
};

// "1e-3", "2.5e-4", "0.05".
std::string short_number(double value);
// "0:12", "1:02:03".
std::string short_time(double seconds);
// "982", "41.2k", "1.25M".
std::string short_count(double value);

}  // namespace cucina::report
