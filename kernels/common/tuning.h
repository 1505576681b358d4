// Choices among kernels that compute the same bits, by measuring each on the GPU once for each
// shape.
#pragma once

#include <filesystem>
#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "core/stream.h"

namespace cucina {

// What was found to be fastest, in memory and in a file, from which another process learns it: one
// line for each question, the question and the name of the answer, a tab between them. Lines that
// do not read so are passed over, and of several lines of one question the last counts. A file that
// cannot be written is not: then each process measures.
class TuningCache {
 public:
  // An empty path: in memory only.
  explicit TuningCache(std::filesystem::path file);

  // Which of `names` is known to answer `question`; nullopt where none is, or it is no candidate of
  // today.
  std::optional<std::size_t> find(const std::string& question,
                                  std::span<const std::string_view> names);
  // The i for which `seconds(i)` is least; known from now on.
  std::size_t measure(const std::string& question, std::span<const std::string_view> names,
                      const std::function<double(std::size_t)>& seconds);

 private:
  void load();

  std::filesystem::path file_;
  bool loaded_ = false;
  std::map<std::string, std::string> answers_;
  std::mutex mutex_;
};

// Which of `names` to run on `stream`:
//   one forced by ScopedCandidate, where there is one of that name;
//   on the cpu and where CUCINA_TUNING is "off": `heuristic`;
//   on a GPU: what the cache of this GPU's name knows; else, while the stream is captured,
//   `heuristic`; else all are timed, `run(i)` putting the i-th's work on the stream, and the
//   fastest goes into the cache. `run` writes to the output again and again.
// The cache is tuning_<GPU>.tsv in $CUCINA_CACHE, else ~/.cache/cucina.
// Candidates compute the same bits, so what is chosen changes times only.
std::size_t tuned_choice(const std::string& question, std::span<const std::string_view> names,
                         std::size_t heuristic, const Stream& stream,
                         const std::function<void(std::size_t)>& run);

// For tests and benchmarks: the candidate of that name, wherever there is one.
class ScopedCandidate {
 public:
  explicit ScopedCandidate(std::string name);
  ~ScopedCandidate();
  ScopedCandidate(const ScopedCandidate&) = delete;
  ScopedCandidate& operator=(const ScopedCandidate&) = delete;

 private:
  std::string before_;
};

}  // namespace cucina
