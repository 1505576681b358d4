// Takes the pictures of a contact sheet from a data set.
#include "recipe/inspect/sheet.h"

#include <algorithm>

namespace cucina::inspect {
namespace {

data::Picture picture_of(Ref image, const Subject& subject) {
  const data::ImageSet& set = subject.set(image.split);
  const auto pixels = subject.pixels(image);
  data::Picture picture{.size = {set.h, set.w, set.c}, .pixels = {pixels.begin(), pixels.end()}};
  const int most = subject.data.max_value;
  for (std::uint8_t& each : picture.pixels)
    each = static_cast<std::uint8_t>(std::min(255, each * 255 / most));
  return picture;
}

}  // namespace

data::Picture draw(const Sheet& sheet, const Subject& subject) {
  std::vector<std::vector<report::Tile>> rows;
  for (const std::vector<Tile>& row : sheet.rows) {
    rows.emplace_back();
    for (const Tile& tile : row)
      rows.back().push_back({picture_of(tile.image, subject), tile.caption});
  }
  return report::contact_sheet(rows);
}

}  // namespace cucina::inspect
