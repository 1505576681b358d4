// What a data set is, in numbers.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "recipe/inspect/sheet.h"
#include "recipe/inspect/subject.h"

namespace cucina::inspect {

// {"name", "sha256", "h", "w", "c", "classes", "splits": {"train": {"images", "channels": [{"mean",
// "deviation", "lowest", "highest"}], "classes": [{"name", "images", "share", "mean",
// "deviation"}]}}}
nlohmann::ordered_json statistics(const Subject& subject);

// The same in some lines, for people.
std::string summary(const nlohmann::ordered_json& statistics);

// The first images of each class of train, a row for each; of at most 100 classes.
Sheet samples(const Subject& subject);

}  // namespace cucina::inspect
