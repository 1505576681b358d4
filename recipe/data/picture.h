// Pictures in PNG and JPEG files, by libpng and libjpeg-turbo, and what is done to them before they
// are one of many.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

namespace cucina::data {

struct PictureSize {
  std::int64_t h = 0;
  std::int64_t w = 0;
  std::int64_t c = 0;  // 1 grey, 3 red, green and blue

  friend bool operator==(const PictureSize&, const PictureSize&) = default;
};

struct Picture {
  PictureSize size;
  std::vector<std::uint8_t> pixels;  // (h, w, c)
};

// No picture may have more pixels: what claims more is damaged, or a bomb.
inline constexpr std::int64_t kMostPixels = 100'000'000;

using Encoded = std::span<const std::uint8_t>;

// False in a build without the two libraries; then everything below but resized() and
// with_channels() is an Error, exit code 1, that says what to install.
bool picture_files_available();

// What the header of a PNG or JPEG file says; `path` is for the errors.
//   throws   Error, exit code 3: neither of both, a damaged header, more than kMostPixels
PictureSize picture_size(Encoded bytes, const std::string& path);

// The picture in a PNG or JPEG file. 16 bits become 8, palettes and 1, 2 or 4 bits are expanded;
// what is transparent is laid on white. Gamma, colour profiles and orientation are not applied.
//   throws   Error, exit code 3: as above, cut short, damaged anywhere, CMYK
Picture decode_picture(Encoded bytes, const std::string& path);

// A PNG file of the picture.
std::vector<std::uint8_t> encode_png(const Picture& picture);

// Scaled to h x w, whatever the proportions: every pixel is the mean of what it covers, weighted by
// a triangle (as PIL's BILINEAR), so that shrinking does not alias.
Picture resized(const Picture& picture, std::int64_t h, std::int64_t w);

// Grey repeated thrice, or colours as 0.299 red + 0.587 green + 0.114 blue (ITU-R BT.601).
Picture with_channels(const Picture& picture, std::int64_t c);

// The two codecs; each takes bytes that begin as its format does.
PictureSize png_size(Encoded bytes, const std::string& path);
Picture decode_png(Encoded bytes, const std::string& path);
PictureSize jpeg_size(Encoded bytes, const std::string& path);
Picture decode_jpeg(Encoded bytes, const std::string& path);

}  // namespace cucina::data
