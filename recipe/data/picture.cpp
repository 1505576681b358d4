// Tells the formats apart; resizes and changes channels.
#include "recipe/data/picture.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <cmath>

#include "core/error.h"

namespace cucina::data {
namespace {

constexpr std::array<std::uint8_t, 8> kPng{0x89, 'P', 'N', 'G', '\r', '\n', 0x1a, '\n'};
constexpr std::array<std::uint8_t, 3> kJpeg{0xff, 0xd8, 0xff};

bool begins_with(Encoded bytes, Encoded start) {
  return bytes.size() >= start.size() && std::equal(start.begin(), start.end(), bytes.begin());
}

[[noreturn]] void fail_unknown(Encoded bytes, const std::string& path) {
  if (bytes.empty()) fail(ExitCode::bad_file, "{}: the file is empty; fetch it again", path);
  const Encoded start = bytes.first(std::min<std::size_t>(bytes.size(), 8));
  fail(ExitCode::bad_file,
       "{}: byte 0: {:02x} is the beginning of neither a PNG nor a JPEG file; convert the picture "
       "to one of them",
       path, fmt::join(start, " "));
}

// Which inputs make one output along an axis, and how much of each.
struct Taps {
  std::int64_t first = 0;
  std::vector<float> weights;
};

std::vector<Taps> taps(std::int64_t from, std::int64_t to) {
  const double scale = double(from) / double(to);
  const double reach = std::max(scale, 1.0);
  std::vector<Taps> all(static_cast<std::size_t>(to));
  for (std::int64_t i = 0; i < to; ++i) {
    const double centre = (double(i) + 0.5) * scale;
    const auto begin = std::max<std::int64_t>(0, std::llround(std::floor(centre - reach)));
    const auto end = std::min<std::int64_t>(from, std::llround(std::ceil(centre + reach)));
    Taps& each = all[static_cast<std::size_t>(i)];
    each.first = begin;
    double sum = 0;
    std::vector<double> weights;
    for (std::int64_t j = begin; j < end; ++j) {
      weights.push_back(std::max(0.0, 1 - std::abs((double(j) + 0.5 - centre) / reach)));
      sum += weights.back();
    }
    for (const double weight : weights) each.weights.push_back(static_cast<float>(weight / sum));
  }
  return all;
}

}  // namespace

PictureSize picture_size(Encoded bytes, const std::string& path) {
  if (begins_with(bytes, kPng)) return png_size(bytes, path);
  if (begins_with(bytes, kJpeg)) return jpeg_size(bytes, path);
  fail_unknown(bytes, path);
}

Picture decode_picture(Encoded bytes, const std::string& path) {
  if (begins_with(bytes, kPng)) return decode_png(bytes, path);
  if (begins_with(bytes, kJpeg)) return decode_jpeg(bytes, path);
  fail_unknown(bytes, path);
}

Picture resized(const Picture& picture, std::int64_t h, std::int64_t w) {
  const PictureSize& size = picture.size;
  if (h < 1 || w < 1 || size.h < 1 || size.w < 1)
    fail("resize: {}x{} to {}x{}; every size must be at least 1", size.h, size.w, h, w);
  if (size.h == h && size.w == w) return picture;
  const std::vector<Taps> columns = taps(size.w, w), rows = taps(size.h, h);
  const std::int64_t c = size.c;
  std::vector<float> narrow(static_cast<std::size_t>(size.h * w * c));
  for (std::int64_t y = 0; y < size.h; ++y)
    for (std::int64_t x = 0; x < w; ++x) {
      const Taps& tap = columns[static_cast<std::size_t>(x)];
      for (std::int64_t channel = 0; channel < c; ++channel) {
        const std::uint8_t* from = &picture.pixels[(y * size.w + tap.first) * c + channel];
        float sum = 0;
        for (const float weight : tap.weights) sum += weight * float(*from), from += c;
        narrow[(y * w + x) * c + channel] = sum;
      }
    }
  Picture result{.size = {h, w, c}, .pixels = {}};
  result.pixels.resize(static_cast<std::size_t>(h * w * c));
  std::vector<float> line(static_cast<std::size_t>(w * c));
  for (std::int64_t y = 0; y < h; ++y) {
    const Taps& tap = rows[static_cast<std::size_t>(y)];
    std::fill(line.begin(), line.end(), 0.0f);
    for (std::size_t j = 0; j < tap.weights.size(); ++j) {
      const float* from = &narrow[(tap.first + std::int64_t(j)) * w * c];
      for (std::size_t i = 0; i < line.size(); ++i) line[i] += tap.weights[j] * from[i];
    }
    for (std::size_t i = 0; i < line.size(); ++i)
      result.pixels[y * w * c + i] =
          static_cast<std::uint8_t>(std::clamp(std::lround(line[i]), 0L, 255L));
  }
  return result;
}

Picture with_channels(const Picture& picture, std::int64_t c) {
  if (c != 1 && c != 3) fail("picture: {} channels asked for; give 1 or 3", c);
  if (picture.size.c == c) return picture;
  Picture result{.size = {picture.size.h, picture.size.w, c}, .pixels = {}};
  const auto pixels = static_cast<std::size_t>(picture.size.h * picture.size.w);
  result.pixels.reserve(pixels * static_cast<std::size_t>(c));
  for (std::size_t i = 0; i < pixels; ++i) {
    if (c == 3) {
      result.pixels.insert(result.pixels.end(), 3, picture.pixels[i]);
    } else {
      const std::uint8_t* rgb = &picture.pixels[3 * i];
      result.pixels.push_back(
          static_cast<std::uint8_t>((299 * rgb[0] + 587 * rgb[1] + 114 * rgb[2] + 500) / 1000));
    }
  }
  return result;
}

}  // namespace cucina::data
