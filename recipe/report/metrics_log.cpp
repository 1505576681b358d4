// The JSON of a metrics line, and the append-only file it goes to.
#include "recipe/report/metrics_log.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cmath>
#include <cstring>
#include <fstream>
#include <nlohmann/json.hpp>
#include <vector>

#include "core/error.h"
#include "core/whole_file.h"

namespace cucina::report {

std::string to_json(const MetricsLine& line) {
  nlohmann::ordered_json object = {{"v", 1},
                                   {"ts", line.unix_time},
                                   {"step", line.step},
                                   {"epoch", line.epoch},
                                   {"split", line.split}};
  std::vector<std::string> nonfinite;
  const auto add = [&](const char* key, const std::optional<double>& value) {
    if (!value) return;
    if (std::isfinite(*value)) {
      object[key] = *value;
    } else {
      object[key] = nullptr;
      nonfinite.emplace_back(key);
    }
  };
  add("loss", line.loss);
  add("acc", line.accuracy);
  add("lr", line.learning_rate);
  if (!nonfinite.empty()) object["nonfinite"] = nonfinite;
  return object.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
}

void rewind_metrics(const std::filesystem::path& path, std::int64_t step) {
  std::ifstream file(path, std::ios::binary);
  if (!file) return;
  std::string kept, line;
  for (std::int64_t number = 1; std::getline(file, line) && !file.eof(); ++number) {
    const nlohmann::json json = nlohmann::json::parse(line, nullptr, false);
    const bool whole = json.is_object() && json.contains("step") && json.contains("split") &&
                       json["step"].is_number_integer() && json["split"].is_string();
    if (!whole)
      fail(ExitCode::bad_file,
           "{}: line {} is no line of metrics; remove it, or move the file away, and resume again",
           path.string(), number);
    if (json["step"].get<std::int64_t>() <= step && json["split"] != "test") kept += line + '\n';
  }
  WholeFile rewound(path, [&](const std::string& cause) {
    fail(ExitCode::run_failed, "{}: cannot be written ({}); free some space and resume again",
         path.string(), cause);
  });
  rewound.write(kept);
  rewound.finish();
}

MetricsLog::MetricsLog(const std::filesystem::path& path, bool append) : path_(path.string()) {
  const int mode = append ? O_APPEND : O_APPEND | O_TRUNC;
  descriptor_ = ::open(path.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC | mode, 0666);
  if (descriptor_ < 0)
    fail(ExitCode::usage, "{}: cannot be written ({}); choose another --out", path_,
         std::strerror(errno));
}

MetricsLog::~MetricsLog() { ::close(descriptor_); }

void MetricsLog::write(const MetricsLine& line) {
  const std::string text = to_json(line) + '\n';
  std::size_t done = 0;
  while (done < text.size()) {
    const ssize_t wrote = ::write(descriptor_, text.data() + done, text.size() - done);
    if (wrote < 0 && errno == EINTR) continue;
    if (wrote < 0)
      fail(ExitCode::run_failed,
           "{}: step {} cannot be logged ({}); free some space and train again", path_, line.step,
           std::strerror(errno));
    done += static_cast<std::size_t>(wrote);
  }
}

}  // namespace cucina::report
