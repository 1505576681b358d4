// Small data sets with known properties, and faults to plant in them.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <string>

#include "core/random.h"
#include "recipe/inspect/inspection.h"

namespace cucina::inspect {

// Grey images of 12 x 12: noise, and a spot whose place is the class; about what a quick probe can
// learn without a mistake.
inline data::ImageSet spots(std::int64_t n, const char* stream, int classes = 4, int noise = 60) {
  const RandomStream random(7, stream);
  data::ImageSet set{
      .n = n, .h = 12, .w = 12, .c = 1, .classes = classes, .pixels = {}, .labels = {}};
  for (std::int64_t i = 0; i < n; ++i) {
    const auto index = static_cast<std::uint64_t>(i);
    const int label = static_cast<int>(random.below(0, index, static_cast<std::uint64_t>(classes)));
    set.labels.push_back(label);
    const int top = label / 2 * 6 + 1 + static_cast<int>(random.below(1, index, 2));
    const int left = label % 2 * 6 + 1 + static_cast<int>(random.below(2, index, 2));
    for (int y = 0; y < 12; ++y)
      for (int x = 0; x < 12; ++x) {
        const bool spot = y >= top && y < top + 4 && x >= left && x < left + 4;
        const auto draw = random.below(3 + index, static_cast<std::uint64_t>(12 * y + x),
                                       static_cast<std::uint64_t>(noise + 1));
        set.pixels.push_back(static_cast<std::uint8_t>(draw + (spot ? 150 : 20)));
      }
  }
  return set;
}

inline data::Dataset healthy(std::int64_t train = 1200, std::int64_t validation = 300) {
  return {.name = "spots",
          .class_names = {"upper left", "upper right", "lower left", "lower right"},
          .train = spots(train, "train"),
          .validation = spots(validation, "validation"),
          .test = spots(validation, "test"),
          .max_value = 255,
          .sha256 = ""};
}

inline std::uint8_t* image(data::ImageSet* set, std::int64_t i) {
  return set->pixels.data() + i * static_cast<std::int64_t>(set->image_bytes());
}

inline void copy_image(const data::ImageSet& from, std::int64_t i, data::ImageSet* to,
                       std::int64_t j, int (*change)(int pixel, std::int64_t at) = nullptr) {
  for (std::size_t at = 0; at < from.image_bytes(); ++at) {
    const int pixel = from.image(i)[at];
    image(to, j)[at] = static_cast<std::uint8_t>(
        std::clamp(change == nullptr ? pixel : change(pixel, std::int64_t(at)), 0, 255));
  }
  to->labels[static_cast<std::size_t>(j)] = from.labels[static_cast<std::size_t>(i)];
}

// Another class for `share` of the labels; the rows, ascending.
inline std::vector<std::int64_t> flip_labels(data::ImageSet* set, double share) {
  std::vector<std::int64_t> rows = permutation(RandomStream(3, "flip"), 0, set->n);
  rows.resize(static_cast<std::size_t>(share * double(set->n)));
  std::sort(rows.begin(), rows.end());
  for (const std::int64_t row : rows) {
    const auto by = RandomStream(4, "flip").below(0, static_cast<std::uint64_t>(row),
                                                  static_cast<std::uint64_t>(set->classes - 1));
    std::int32_t& label = set->labels[static_cast<std::size_t>(row)];
    label = static_cast<std::int32_t>((label + 1 + std::int64_t(by)) % set->classes);
  }
  return rows;
}

inline Found inspected(const Inspection& inspection, const data::Dataset& data) {
  return inspection.run(Subject{.data = data});
}

inline bool has_reason(const Found& found, const std::string& reason) {
  const auto& all = found.verdict.reasons;
  return std::find(all.begin(), all.end(), reason) != all.end();
}

// For messages.
inline std::string text(const Found& found) {
  std::string all = std::string(checks::name(found.verdict.outcome)) + ": " + found.verdict.found;
  for (const std::string& each : found.verdict.reasons) all += " [" + each + "]";
  for (const std::string& each : found.verdict.evidence) all += "\n  " + each;
  return all;
}

}  // namespace cucina::inspect
