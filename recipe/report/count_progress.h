// How far something that is counted has come, on stderr.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "recipe/report/progress.h"

namespace cucina::report {

// One redrawn line on a terminal, else a line every ten seconds; nothing for what takes less than
// half a second. The destructor wipes the line.
class CountProgress {
 public:
  explicit CountProgress(std::string what, bool quiet = false);
  CountProgress(std::string what, ProgressOutput output);
  ~CountProgress();
  CountProgress(const CountProgress&) = delete;
  CountProgress& operator=(const CountProgress&) = delete;

  void show(std::int64_t done, std::int64_t all);

 private:
  std::string what_;
  ProgressOutput output_;
  bool bar_ = false;
  bool open_ = false;
  double began_ = 0;
  double drawn_ = 0;
};

}  // namespace cucina::report
