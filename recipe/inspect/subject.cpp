// Names images.
#include "recipe/inspect/subject.h"

#include <fmt/format.h>

namespace cucina::inspect {

std::string_view name(Split split) {
  return split == Split::train ? "train" : split == Split::validation ? "validation" : "test";
}

const data::ImageSet& Subject::set(Split split) const {
  return split == Split::train        ? data.train
         : split == Split::validation ? data.validation
                                      : data.test;
}

std::int32_t Subject::label(Ref image) const {
  return set(image.split).labels[static_cast<std::size_t>(image.index)];
}

const std::string& Subject::class_name(std::int32_t label) const {
  return data.class_names[static_cast<std::size_t>(label)];
}

std::string Subject::describe(Ref image) const {
  const data::ImageSet& from = set(image.split);
  if (from.files.empty()) return fmt::format("{} {}", name(image.split), image.index);
  return from.files[static_cast<std::size_t>(image.index)];
}

nlohmann::ordered_json Subject::to_json(Ref image) const {
  const data::ImageSet& from = set(image.split);
  const auto at = static_cast<std::size_t>(image.index);
  nlohmann::ordered_json json = {{"split", name(image.split)}, {"index", image.index}};
  if (!from.files.empty()) {
    json["file"] = from.files[at];
  } else {
    json["row"] = from.rows.empty() ? image.index : from.rows[at];
  }
  json["label"] = class_name(from.labels[at]);
  return json;
}

}  // namespace cucina::inspect
