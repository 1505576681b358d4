// The seam between launches, which every program has, and the race detector, which only checked
// programs link.
#include "kernels/simt/races.h"

#include "core/error.h"

namespace cucina::simt {
inline namespace host {
namespace detail {
namespace {

constinit MakeObserver make_observer = nullptr;

}  // namespace

void set_race_detector(MakeObserver make) { make_observer = make; }

RaceDetection::RaceDetection(Executor& executor, const Grid& grid, const Options& options)
    : executor_(executor) {
  if (!options.detect_races) return;
  if (make_observer == nullptr) {
    fail(
        "{}: detect_races needs a program whose kernels are compiled with -fsanitize=thread and "
        "that links simt's "
        "checked_runtime.cpp",
        grid.name);
  }
  observer_ = make_observer(executor, grid);
  executor_.set_observer(observer_.get());
}

RaceDetection::~RaceDetection() { executor_.set_observer(nullptr); }

}  // namespace detail
}  // namespace host
}  // namespace cucina::simt
