// Contact sheets: rows of small images with a line of text below each.
#pragma once

#include <string>
#include <vector>

#include "recipe/data/picture.h"
#include "recipe/inspect/subject.h"

namespace cucina::inspect {

struct Tile {
  Ref image;
  std::string caption = {};  // capitals, digits and - + . : / > ( ) %; others become spaces
};

struct Sheet {
  std::string name;   // of the file, without .png
  std::string title;  // for a page that shows it
  std::vector<std::vector<Tile>> rows;
};

// The tiles of a list in rows of `columns`.
std::vector<std::vector<Tile>> in_rows(const std::vector<Tile>& tiles, std::size_t columns = 12);

// Draws it: images enlarged by a whole factor to about 64 pixels (large ones are scaled down),
// white where a pixel holds the data set's highest value.
data::Picture draw(const Sheet& sheet, const Subject& subject);

}  // namespace cucina::inspect
