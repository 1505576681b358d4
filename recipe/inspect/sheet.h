// Contact sheets of a data set's images.
#pragma once

#include <string>
#include <vector>

#include "recipe/data/picture.h"
#include "recipe/inspect/subject.h"
#include "recipe/report/contact_sheet.h"

namespace cucina::inspect {

struct Tile {
  Ref image;
  std::string caption = {};  // as report::Tile's
};

struct Sheet {
  std::string name;   // of the file, without .png
  std::string title;  // for a page that shows it
  std::vector<std::vector<Tile>> rows;
};

using report::in_rows;

// Draws it, white where a pixel holds the data set's highest value.
data::Picture draw(const Sheet& sheet, const Subject& subject);

}  // namespace cucina::inspect
