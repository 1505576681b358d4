// Times the calls of cases: random data that comes from memory, a steady state, and samples of it.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "kernels/common/case.h"
#include "kernels/drivers/checks.h"

namespace cucina::drivers {

// The cases of a room that are timed on `device`: those marked so, or else its largest one, so that
// no op goes without.
std::vector<Case> timed_cases(const OpEntry& room, Device device);

// Many sets of a call's operands, used in turn, so that each has left the caches when its turn
// comes.
class OperandSets {
 public:
  // As many sets as exceed `cache_bytes` one and a half times, but no more than kMost. All sets
  // hold the same random values. An output with the name, shape and dtype of an input is that
  // input, updated in place: the copy with which such a call's `run` begins is then none.
  OperandSets(const Call& call, Device device, DType dtype, std::size_t cache_bytes);

  std::size_t size() const { return sets_.size(); }
  // Do they exceed the caches? Not where a call has so few bytes that kMost sets fit.
  bool cold() const { return cold_; }
  struct Set {
    Tensors in, out;
  };
  const Set& next();

  static constexpr std::size_t kMost = 4096;

 private:
  std::vector<Set> sets_;
  std::size_t at_ = 0;
  bool cold_ = false;
};

// One call on one backend, run on the next set at each step.
class Repeated {
 public:
  Repeated(const Call& call, Backend backend, Device device, Format format, OperandSets& sets)
      : call_(call), backend_(backend), device_(device), format_(format), sets_(sets) {}
  // False when the backend has no such entry.
  bool step();
  // Steps, in seconds; on cuda between two events.
  double seconds(std::int64_t steps);

 private:
  const Call& call_;
  Backend backend_;
  Device device_;
  Format format_;
  OperandSets& sets_;
};

struct TimingOptions {
  double min_seconds = 0.1;         // of samples, for each backend
  double max_seconds = 1;           // then three samples are enough
  std::size_t cache_bytes = 0;      // see Peaks
  std::function<bool()> stop = {};  // asked now and then; when true what is unfinished is dropped
};

// What one backend took for a call.
struct Samples {
  Backend backend = Backend::hand;
  std::vector<double> seconds;  // per call, of each sample
  bool cold = false;            // operands came from memory
  bool graph = false;           // replays of a CUDA graph
};

// Times the call on those of `backends` that have it, turn and turn about, so that what slows the
// machine slows them all. Empty when stopped.
std::vector<Samples> time_call(const Call& call, Device device, Format format,
                               std::span<const Backend> backends, const TimingOptions& options);

struct Quartiles {
  double low = 0, median = 0, high = 0;
};
// Of at least one value; between two neighbours by linear interpolation.
Quartiles quartiles(std::vector<double> values);

}  // namespace cucina::drivers
