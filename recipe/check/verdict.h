// Verdict: what a check found, with the numbers it judged by.
#pragma once

#include <cstdint>
#include <limits>
#include <string>
#include <string_view>
#include <vector>

namespace cucina::checks {

// skip: the task has not what the check looks at. inconclusive: it looked and cannot tell. Neither
// is a pass.
enum class Outcome : std::uint8_t { pass, skip, inconclusive, warn, fail };  // worse and worse

std::string_view name(Outcome outcome);

inline constexpr double kNoNumber = std::numeric_limits<double>::quiet_NaN();

struct Verdict {
  Outcome outcome = Outcome::inconclusive;
  // What is wrong, in a word for programs: "double-softmax". A check that looks at several things
  // may have several, the worst first.
  std::vector<std::string> reasons = {};
  std::string found = {};       // one clause for people
  double measured = kNoNumber;  // NaN where a clause has no number
  double expected = kNoNumber;
  double tolerance = kNoNumber;            // of measured - expected, in the same unit
  std::vector<std::string> evidence = {};  // indices, names of tensors, ratios
  std::string hint = {};                   // what to do
  double seconds = 0;
};

Verdict skipped(const std::string& why);
Verdict failed(const char* reason, std::string found, std::string hint, double measured = kNoNumber,
               double expected = kNoNumber);

// What one check finds about several properties of a task, put together.
class Findings {
 public:
  void add(Verdict verdict);
  bool any_fails() const;
  // The worst, the first among equals, with the reasons and evidence of all that are as bad or
  // worse than a warning; skip only when everything was.
  Verdict verdict() const;

 private:
  std::vector<Verdict> all_;
};

}  // namespace cucina::checks
