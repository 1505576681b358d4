// Stage 1, become one with the data: inspections of a data set, in the frame of the recipe's
// checks.
#pragma once

#include <functional>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "recipe/check/check.h"
#include "recipe/inspect/sheet.h"
#include "recipe/inspect/subject.h"

namespace cucina::inspect {

struct Found {
  checks::Verdict verdict;
  nlohmann::ordered_json details = nlohmann::ordered_json::object();  // all of it, for programs
  std::vector<Sheet> sheets = {};                                     // pictures of it
};

struct Inspection {
  std::string_view name;  // "duplicates"
  std::string_view tip;   // "stage 1: ..."
  std::string_view what;  // for --explain
  std::function<Found(const Subject& subject)> run;
};

//   source   Karpathy 2019, "A Recipe for Training Neural Networks", part 1
Inspection duplicates();
Inspection damaged_images();
Inspection label_balance();
Inspection outliers();
Inspection label_issues();
Inspection door_probe();
Inspection detail();
Inspection mispredictions();

// All of them, in this order.
const std::vector<Inspection>& all_inspections();

// Those that are selected, as checks::select() chooses.
std::vector<Inspection> select(const checks::Selection& selection);

// As `cucina check` shows checks.
std::string explanation(const Inspection& inspection);

struct Inspected {
  checks::Result result;
  Found found;  // its verdict is the result's
};

Inspected run_inspection(const Inspection& inspection, const Subject& subject);

}  // namespace cucina::inspect
