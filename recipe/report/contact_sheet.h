// Contact sheets: rows of small pictures with a line of text below each.
#pragma once

#include <string>
#include <vector>

#include "recipe/data/picture.h"

namespace cucina::report {

struct Tile {
  data::Picture picture;     // any size, the same for all of a sheet
  std::string caption = {};  // capitals, digits and - + . : / > ( ) %; others become spaces
};

// The tiles of a list in rows of `columns`.
std::vector<std::vector<Tile>> in_rows(const std::vector<Tile>& tiles, std::size_t columns = 12);

// Draws them: pictures enlarged by a whole factor to about 64 pixels, large ones scaled down.
data::Picture contact_sheet(const std::vector<std::vector<Tile>>& rows);

}  // namespace cucina::report
