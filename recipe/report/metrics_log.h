// metrics.jsonl: one JSON object a line, on disk as soon as it is written.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>

namespace cucina::report {

// One line. What is absent is left out; what is not finite becomes null and is named in
// "nonfinite", for JSON has no NaN.
struct MetricsLine {
  double unix_time = 0.0;  // seconds
  std::int64_t step = 0;
  std::int64_t epoch = 0;
  std::string split;  // train, val or test
  std::optional<double> loss = std::nullopt;
  std::optional<double> accuracy = std::nullopt;
  std::optional<double> learning_rate = std::nullopt;
};

// {"v":1,"ts":...,"step":...,"epoch":...,"split":"...","loss":...,"acc":...,"lr":...} without a
// line feed; numbers are the shortest that read back to the same double.
std::string to_json(const MetricsLine& line);

// Makes a log what it was after `step` steps, for a training that goes on from there: later lines
// go, the test's, and a last line that was cut off. Nothing happens when there is no file.
//   throws   Error, exit code 3, when a line is not as MetricsLog writes it; 1 when it cannot be
//            written, and it is then as it was
void rewind_metrics(const std::filesystem::path& path, std::int64_t step);

class MetricsLog {
 public:
  // Starts an empty log at `path`, or goes on at its end.
  explicit MetricsLog(const std::filesystem::path& path, bool append = false);
  ~MetricsLog();
  MetricsLog(const MetricsLog&) = delete;
  MetricsLog& operator=(const MetricsLog&) = delete;

  // Appends the line in one write; throws Error, exit code 1, when the disk refuses it.
  void write(const MetricsLine& line);

 private:
  std::string path_;
  int descriptor_ = -1;
};

}  // namespace cucina::report
