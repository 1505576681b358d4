// Contact sheets: rows of small pictures with a line of text below each.
#pragma once

#include <algorithm>
#include <cstddef>
#include <string>
#include <vector>

#include "recipe/data/picture.h"

namespace cucina::report {

struct Tile {
  data::Picture picture;     // any size, the same for all of a sheet
  std::string caption = {};  // capitals, digits and - + . : / > ( ) %; others become spaces
};

// The tiles of a list (these ones or others) in rows of `columns`.
template <typename Tiles>
std::vector<Tiles> in_rows(const Tiles& tiles, std::size_t columns = 12) {
  std::vector<Tiles> rows;
  for (std::size_t i = 0; i < tiles.size(); i += columns) {
    const auto begin = tiles.begin() + static_cast<std::ptrdiff_t>(i);
    rows.emplace_back(begin,
                      begin + static_cast<std::ptrdiff_t>(std::min(columns, tiles.size() - i)));
  }
  return rows;
}

// Draws them: pictures enlarged by a whole factor to about 64 pixels, large ones scaled down.
data::Picture contact_sheet(const std::vector<std::vector<Tile>>& rows);

}  // namespace cucina::report
