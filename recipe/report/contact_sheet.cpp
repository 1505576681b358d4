// Draws contact sheets, with a font of 3 x 5 dots.
#include "recipe/report/contact_sheet.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <string_view>

namespace cucina::report {
namespace {

constexpr std::int64_t kTile = 64;
constexpr std::int64_t kGap = 4;
constexpr std::int64_t kDot = 2;
constexpr std::int64_t kGlyph = 4 * kDot;  // 3 dots and one between letters
constexpr std::int64_t kText = 7 * kDot;   // 5 dots, and one above and below
constexpr std::uint8_t kBackground = 40;
constexpr std::uint8_t kInk = 220;

constexpr std::string_view kLetters = "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-+.:/>()%";
// Five rows of three dots, the upper left one first: an octal digit is a row.
constexpr std::array<std::uint16_t, kLetters.size()> kFont{
    025755, 065656, 034443, 065556, 074647, 074644, 034553, 055755, 072227, 011152, 055655, 044447,
    057755, 065555, 025552, 065644, 025563, 065655, 034216, 072222, 055557, 055552, 055775, 055255,
    055222, 071247, 075557, 026227, 061247, 061216, 055711, 074616, 034757, 071222, 075757, 075716,
    000700, 002720, 000002, 002020, 011244, 042124, 024442, 021112, 051245};

struct Canvas {
  data::Picture picture;

  Canvas(std::int64_t h, std::int64_t w)
      : picture{.size = {h, w, 3},
                .pixels =
                    std::vector<std::uint8_t>(static_cast<std::size_t>(h * w * 3), kBackground)} {}

  std::uint8_t* at(std::int64_t y, std::int64_t x) {
    return &picture.pixels[static_cast<std::size_t>((y * picture.size.w + x) * 3)];
  }

  void paste(const data::Picture& from, std::int64_t y, std::int64_t x) {
    for (std::int64_t row = 0; row < from.size.h; ++row)
      std::copy_n(from.pixels.begin() + row * from.size.w * 3, from.size.w * 3, at(y + row, x));
  }

  void write(const std::string& text, std::int64_t y, std::int64_t x, std::int64_t width) {
    for (std::size_t i = 0; i < text.size() && std::int64_t(i + 1) * kGlyph <= width; ++i) {
      const auto letter =
          kLetters.find(static_cast<char>(std::toupper(static_cast<unsigned char>(text[i]))));
      if (letter == std::string_view::npos) continue;
      for (int dot = 0; dot < 15; ++dot) {
        if ((kFont[letter] >> (14 - dot) & 1) == 0) continue;
        for (std::int64_t k = 0; k < kDot * kDot; ++k)
          std::fill_n(at(y + dot / 3 * kDot + k / kDot,
                         x + std::int64_t(i) * kGlyph + dot % 3 * kDot + k % kDot),
                      3, kInk);
      }
    }
  }
};

// How large a picture of h x w is drawn.
data::PictureSize drawn_size(std::int64_t h, std::int64_t w) {
  const std::int64_t side = std::max(h, w);
  const std::int64_t factor = std::max<std::int64_t>(1, kTile / side);
  if (side <= kTile) return {h * factor, w * factor, 3};
  return {std::max<std::int64_t>(1, h * kTile / side), std::max<std::int64_t>(1, w * kTile / side),
          3};
}

data::Picture drawn(const data::Picture& picture, const data::PictureSize& size) {
  const data::Picture from = data::with_channels(picture, 3);
  const auto [h, w, c] = from.size;
  if (size.h < h || size.w < w) return data::resized(from, size.h, size.w);
  // Whole squares, so that pixels stay what they are.
  data::Picture large{.size = size, .pixels = {}};
  large.pixels.reserve(static_cast<std::size_t>(size.h * size.w * 3));
  for (std::int64_t y = 0; y < size.h; ++y) {
    for (std::int64_t x = 0; x < size.w; ++x) {
      const std::uint8_t* pixel =
          &from.pixels[static_cast<std::size_t>((y * h / size.h * w + x * w / size.w) * 3)];
      large.pixels.insert(large.pixels.end(), pixel, pixel + 3);
    }
  }
  return large;
}

}  // namespace

data::Picture contact_sheet(const std::vector<std::vector<Tile>>& rows) {
  std::size_t columns = 1;
  data::PictureSize tile{kTile, kTile, 3};
  for (const auto& row : rows) {
    columns = std::max(columns, row.size());
    if (!row.empty()) tile = drawn_size(row[0].picture.size.h, row[0].picture.size.w);
  }
  const std::int64_t step_x = tile.w + kGap, step_y = tile.h + kText + kGap;
  Canvas canvas(kGap + std::max<std::int64_t>(1, std::int64_t(rows.size())) * step_y,
                kGap + std::int64_t(columns) * step_x);
  for (std::size_t row = 0; row < rows.size(); ++row) {
    for (std::size_t column = 0; column < rows[row].size(); ++column) {
      const Tile& each = rows[row][column];
      const std::int64_t y = kGap + std::int64_t(row) * step_y;
      const std::int64_t x = kGap + std::int64_t(column) * step_x;
      canvas.paste(drawn(each.picture, tile), y, x);
      canvas.write(each.caption, y + tile.h + kDot, x, tile.w);
    }
  }
  return canvas.picture;
}

}  // namespace cucina::report
