// Names and sums of verdicts.
#include "recipe/check/verdict.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace cucina::checks {

std::string_view name(Outcome outcome) {
  switch (outcome) {
    case Outcome::pass:
      return "pass";
    case Outcome::skip:
      return "skip";
    case Outcome::inconclusive:
      return "inconclusive";
    case Outcome::warn:
      return "warn";
    case Outcome::fail:
      return "fail";
  }
  return "?";
}

Verdict skipped(const std::string& why) {
  return {.outcome = Outcome::skip, .reasons = {"skipped"}, .found = why};
}

Verdict failed(const char* reason, std::string found, std::string hint, double measured,
               double expected) {
  return {.outcome = Outcome::fail,
          .reasons = {reason},
          .found = std::move(found),
          .measured = measured,
          .expected = expected,
          .hint = std::move(hint)};
}

void Findings::add(Verdict verdict) { all_.push_back(std::move(verdict)); }

bool Findings::any_fails() const {
  return std::any_of(all_.begin(), all_.end(),
                     [](const Verdict& each) { return each.outcome == Outcome::fail; });
}

Verdict Findings::verdict() const {
  if (all_.empty()) return skipped("there was nothing to look at");
  // A property that could not be looked at does not hide that another one holds.
  const auto rank = [](const Verdict& each) {
    return each.outcome == Outcome::skip ? -1 : static_cast<int>(each.outcome);
  };
  const auto worst = std::max_element(
      all_.begin(), all_.end(), [&](const auto& a, const auto& b) { return rank(a) < rank(b); });
  Verdict result = *worst;
  for (auto each = all_.begin(); each != all_.end(); ++each) {
    if (each == worst || rank(*each) < static_cast<int>(Outcome::inconclusive)) continue;
    for (const std::string& reason : each->reasons) {
      if (std::find(result.reasons.begin(), result.reasons.end(), reason) == result.reasons.end())
        result.reasons.push_back(reason);
    }
    result.evidence.push_back(fmt::format("also {}: {}", name(each->outcome), each->found));
    result.evidence.insert(result.evidence.end(), each->evidence.begin(), each->evidence.end());
  }
  return result;
}

}  // namespace cucina::checks
