// Switches the race detector on for one launch, where the program was built with it.
#pragma once

#include "kernels/simt/executor.h"

namespace cucina::simt {
inline namespace host {
namespace detail {

// Made by checked_runtime.cpp when it is linked in: an observer for one launch, which also hears of
// memory accesses.
using MakeObserver = std::unique_ptr<Observer> (*)(Executor& executor, const Grid& grid);
void set_race_detector(MakeObserver make);

// While it lives, the executor's blocks are watched if options.detect_races.
//   throws   Error when they should be but the program has no race detector
class RaceDetection {
 public:
  RaceDetection(Executor& executor, const Grid& grid, const Options& options);
  ~RaceDetection();
  RaceDetection(const RaceDetection&) = delete;
  RaceDetection& operator=(const RaceDetection&) = delete;

 private:
  Executor& executor_;
  std::unique_ptr<Observer> observer_;
};

}  // namespace detail
}  // namespace host
}  // namespace cucina::simt
