// The one list of inspections; selects and times them.
#include "recipe/inspect/inspection.h"

#include <algorithm>
#include <chrono>

#include "recipe/check/results.h"

namespace cucina::inspect {
namespace {

checks::Check as_check(const Inspection& each) {
  return {.name = each.name, .tip = each.tip, .what = each.what, .run = nullptr};
}

}  // namespace

const std::vector<Inspection>& all_inspections() {
  static const std::vector<Inspection> all{duplicates(), damaged_images(), label_balance(),
                                           outliers(),   door_probe(),     label_issues(),
                                           detail(),     mispredictions()};
  return all;
}

std::vector<Inspection> select(const checks::Selection& selection) {
  std::vector<checks::Check> names;
  for (const Inspection& each : all_inspections()) names.push_back(as_check(each));
  std::vector<Inspection> chosen;
  for (const checks::Check& name : checks::select(names, selection))
    chosen.push_back(*std::find_if(all_inspections().begin(), all_inspections().end(),
                                   [&](const auto& each) { return each.name == name.name; }));
  return chosen;
}

std::string explanation(const Inspection& inspection) {
  return checks::explanation(as_check(inspection));
}

Inspected run_inspection(const Inspection& inspection, const Subject& subject) {
  const auto start = std::chrono::steady_clock::now();
  Found found = inspection.run(subject);
  found.verdict.seconds =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  checks::Result result{std::string(inspection.name), std::string(inspection.tip), found.verdict};
  return {std::move(result), std::move(found)};
}

}  // namespace cucina::inspect
