// Numbers that describe one image, to sort and filter a data set by.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "recipe/inspect/subject.h"

namespace cucina::inspect {

struct Scalar {
  std::string_view name;
  std::string_view what;
  double (*of)(const data::ImageSet& set, std::int64_t i);  // in units of the pixels
};

// brightness, contrast, sharpness, border; and saturation, 0 for grey images.
const std::vector<Scalar>& scalars();

//   throws   Error, exit code 2, naming those there are
const Scalar& scalar_named(std::string_view name);

struct Value {
  Ref image;
  double value = 0;
};

// Of every image of the splits, in their order; in parallel.
std::vector<Value> values_of(const Subject& subject, const Scalar& scalar);

// "brightness<20", also with <=, > and >=.
struct Condition {
  const Scalar* scalar = nullptr;
  std::string comparison;
  double limit = 0;

  bool holds(double value) const;
};
//   throws   Error, exit code 2, for anything else
Condition parse_condition(std::string_view text);

}  // namespace cucina::inspect
