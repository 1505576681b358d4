// What is inspected: a data set, image files that could not be read, perhaps a model.
#pragma once

#include <compare>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "nn/models.h"
#include "recipe/data/image_set.h"
#include "recipe/data/limits.h"

namespace cucina::inspect {

enum class Split : std::uint8_t { train, validation, test };
inline constexpr Split kSplits[] = {Split::train, Split::validation, Split::test};

std::string_view name(Split split);

// One image of a data set.
struct Ref {
  Split split = Split::train;
  std::int64_t index = 0;

  friend auto operator<=>(const Ref&, const Ref&) = default;
};

// A trained model whose mistakes are looked at.
struct Judged {
  const nn::Model* model = nullptr;  // null: there is none
  data::ChannelStats statistics = {};
  Split split = Split::validation;
};

struct Subject {
  const data::Dataset& data;
  std::vector<data::Unreadable> unreadable = {};
  Judged judged = {};

  const data::ImageSet& set(Split split) const;
  std::int32_t label(Ref image) const;
  std::span<const std::uint8_t> pixels(Ref image) const {
    return set(image.split).image(image.index);
  }
  const std::string& class_name(std::int32_t label) const;
  // "train 17", or the file.
  std::string describe(Ref image) const;
  // {"split", "index", "row" or "file", "label"}
  nlohmann::ordered_json to_json(Ref image) const;
};

}  // namespace cucina::inspect
