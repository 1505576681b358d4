// Writes results as a table and as JSON.
#include "recipe/check/results.h"

#include <fmt/format.h>

#include <array>
#include <cmath>

#include "recipe/report/color.h"

namespace cucina::checks {
namespace {

constexpr std::size_t kMostEvidence = 8;  // lines of a table; JSON has all

report::Style style(Outcome outcome) {
  switch (outcome) {
    case Outcome::pass:
      return report::Style::green;
    case Outcome::fail:
      return report::Style::red;
    case Outcome::warn:
    case Outcome::inconclusive:
      return report::Style::yellow;
    case Outcome::skip:
      return report::Style::dim;
  }
  return report::Style::bold;
}

// "0.12 (expected 0.1 ± 0.01)"
std::string numbers(const Verdict& verdict) {
  if (std::isnan(verdict.measured)) return "";
  std::string text = fmt::format(": {:.5g}", verdict.measured);
  if (!std::isnan(verdict.expected)) {
    text += fmt::format(" (expected {:.5g}", verdict.expected);
    if (!std::isnan(verdict.tolerance)) text += fmt::format(" ± {:.2g}", verdict.tolerance);
    text += ")";
  }
  return text;
}

nlohmann::ordered_json number(double value) {
  return std::isfinite(value) ? nlohmann::ordered_json(value) : nlohmann::ordered_json(nullptr);
}

}  // namespace

std::string table_row(const Result& result, bool color) {
  const Verdict& verdict = result.verdict;
  const std::string word = fmt::format("{:<12}", name(verdict.outcome));
  std::string text = fmt::format("{} {:<21} {:>6.2f} s  {}{}\n",
                                 report::paint(word, style(verdict.outcome), color), result.check,
                                 verdict.seconds, verdict.found, numbers(verdict));
  if (verdict.outcome == Outcome::pass || verdict.outcome == Outcome::skip) return text;
  const std::string indent(44, ' ');
  for (std::size_t i = 0; i < verdict.evidence.size() && i < kMostEvidence; ++i)
    text += indent + verdict.evidence[i] + "\n";
  if (verdict.evidence.size() > kMostEvidence)
    text += fmt::format("{}and {} more (--json has all)\n", indent,
                        verdict.evidence.size() - kMostEvidence);
  if (!verdict.hint.empty())
    text += indent + report::paint("do: " + verdict.hint, report::Style::bold, color) + "\n";
  return text;
}

std::string summary(const std::vector<Result>& results) {
  std::array<int, 5> counts{};
  double seconds = 0;
  for (const Result& each : results) {
    ++counts[static_cast<std::size_t>(each.verdict.outcome)];
    seconds += each.verdict.seconds;
  }
  std::string text = fmt::format("{} checks in {:.1f} s:", results.size(), seconds);
  const char* separator = " ";
  for (const Outcome outcome :
       {Outcome::fail, Outcome::warn, Outcome::inconclusive, Outcome::pass, Outcome::skip}) {
    const int count = counts[static_cast<std::size_t>(outcome)];
    if (count == 0) continue;
    text += fmt::format("{}{} {}", separator, count, name(outcome));
    separator = ", ";
  }
  return text + "\n";
}

nlohmann::ordered_json to_json(const Result& result) {
  const Verdict& verdict = result.verdict;
  return {{"check", result.check},
          {"tip", result.tip},
          {"outcome", name(verdict.outcome)},
          {"reasons", verdict.reasons},
          {"found", verdict.found},
          {"measured", number(verdict.measured)},
          {"expected", number(verdict.expected)},
          {"tolerance", number(verdict.tolerance)},
          {"evidence", verdict.evidence},
          {"hint", verdict.hint},
          {"seconds", verdict.seconds}};
}

std::string explanation(const Check& check) {
  return fmt::format("{}\ntip {}\n\n{}\n", check.name, check.tip, check.what);
}

}  // namespace cucina::checks
