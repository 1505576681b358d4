// Trace: what each op of a few training steps cost, for chrome://tracing or ui.perfetto.dev.
#pragma once

#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>

#include "core/op_watcher.h"

namespace cucina::report {

// Watches the ops of steps (first, first + steps]; written as JSON in Chrome's trace format, with
// times in microseconds since the first of them. An op's event has its shapes, the bytes of what it
// reads and writes at least (each input and the output once, its gradients likewise), and for
// convolutions and matrix products the operations, multiplications and additions counted apart.
class Trace : public OpWatcher {
 public:
  explicit Trace(std::filesystem::path file, std::int64_t first = 3, std::int64_t steps = 20);
  ~Trace() override;

  // A part of a step ("gather", "step", "update") from now until its end; nested parts are shown
  // within.
  class Part {
   public:
    Part(Trace* trace, std::string name);  // of no trace: does nothing
    ~Part();
    Part(const Part&) = delete;
    Part& operator=(const Part&) = delete;

   private:
    Trace* trace_;
    std::string name_;
    OpRun::Time begin_;
  };

  void begin_step(std::int64_t step);
  void ran(const OpRun& run) override;
  // Writes the file; a trace that was not written is lost.
  //   throws   Error, exit code 1, when it cannot be written
  void write();

 private:
  void add(const std::string& name, const std::string& category, OpRun::Time begin, OpRun::Time end,
           nlohmann::ordered_json details);

  std::filesystem::path file_;
  std::int64_t first_, steps_;
  bool watching_ = false;
  std::optional<OpRun::Time> start_;
  nlohmann::ordered_json events_ = nlohmann::ordered_json::array();
};

}  // namespace cucina::report
