// Promises of pictures: every kind of PNG and JPEG comes out as the bytes it stands for, and what
// is damaged anywhere is refused.
#include "recipe/data/picture.h"

#include <gtest/gtest.h>

#include "tests/data/pictures.h"

namespace cucina::data {
namespace {

void expect_pixels(const Bytes& file, const PictureSize& size, const Bytes& pixels) {
  EXPECT_EQ(picture_size(file, "a.png"), size);
  const Picture picture = decode_picture(file, "a.png");
  EXPECT_EQ(picture.size, size);
  EXPECT_EQ(picture.pixels, pixels);
}

TEST(Picture, PngOfEveryKindIsExpandedToBytes) {
  expect_pixels(png_of(1, 3, {}, {0, 100, 255}), {1, 3, 1}, {0, 100, 255});
  expect_pixels(png_of(1, 2, {.color = PNG_COLOR_TYPE_RGB}, {1, 2, 3, 4, 5, 6}), {1, 2, 3},
                {1, 2, 3, 4, 5, 6});
  expect_pixels(png_of(1, 8, {.depth = 1}, {0b10100000}), {1, 8, 1}, {255, 0, 255, 0, 0, 0, 0, 0});
  expect_pixels(png_of(1, 2, {.depth = 4}, {0x0f}), {1, 2, 1}, {0, 255});
  // 16 bits are rounded, not cut off: 0x00ff is 0.99 / 255 of 0xffff.
  expect_pixels(png_of(1, 3, {.depth = 16}, {0, 0xff, 0x80, 0x80, 0xff, 0xff}), {1, 3, 1},
                {1, 128, 255});
  const PngKind palette{.color = PNG_COLOR_TYPE_PALETTE, .palette = {{10, 20, 30}, {200, 100, 0}}};
  expect_pixels(png_of(1, 2, palette, {1, 0}), {1, 2, 3}, {200, 100, 0, 10, 20, 30});
}

TEST(Picture, WhatIsTransparentIsLaidOnWhite) {
  // Opaque, clear, and half: (100 * 128 + 255 * 127 + 127) / 255.
  expect_pixels(png_of(1, 3, {.color = PNG_COLOR_TYPE_GRAY_ALPHA}, {100, 255, 100, 0, 100, 128}),
                {1, 3, 1}, {100, 255, 177});
  expect_pixels(png_of(1, 1, {.color = PNG_COLOR_TYPE_RGB_ALPHA}, {9, 8, 7, 0}), {1, 1, 3},
                {255, 255, 255});
  PngKind palette{.color = PNG_COLOR_TYPE_PALETTE, .palette = {{10, 20, 30}, {200, 100, 0}}};
  palette.transparent = {0};
  expect_pixels(png_of(1, 2, palette, {1, 0}), {1, 2, 3}, {200, 100, 0, 255, 255, 255});
}

TEST(Picture, InterlacedRowsAreTheSame) {
  const Picture picture = smooth(9, 7, 1, 3);
  expect_pixels(png_of(9, 7, {.interlaced = true}, picture.pixels), {9, 7, 1}, picture.pixels);
}

TEST(Picture, PngGoesOutAndComesBack) {
  for (const std::int64_t c : {1, 3}) {
    const Picture picture = smooth(5, 6, c, 1);
    expect_pixels(encode_png(picture), picture.size, picture.pixels);
  }
}

TEST(Picture, JpegIsCloseToWhatWentIn) {
  for (const bool progressive : {false, true})
    for (const std::int64_t c : {1, 3}) {
      Picture picture = smooth(24, 16, c, 2);
      for (std::size_t i = 0; i < picture.pixels.size(); ++i)
        picture.pixels[i] = static_cast<std::uint8_t>(60 + i / 16);
      const Bytes file = jpeg_of(picture, progressive);
      EXPECT_EQ(picture_size(file, "a.jpg"), picture.size);
      const Picture back = decode_picture(file, "a.jpg");
      ASSERT_EQ(back.size, picture.size);
      for (std::size_t i = 0; i < picture.pixels.size(); ++i)
        ASSERT_NEAR(back.pixels[i], picture.pixels[i], 6) << "byte " << i;
    }
}

TEST(Picture, AFileCutAnywhereIsRefused) {
  const Picture picture = smooth(16, 16, 3, 4);
  for (const Bytes& whole : {encode_png(picture), jpeg_of(picture), jpeg_of(picture, true)}) {
    for (std::size_t size = 0; size < whole.size() - 2; ++size) {
      const Bytes cut(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(size));
      expect_bad_file([&] { decode_picture(cut, "cut.img"); }, {"cut.img: "});
    }
  }
}

// Whatever the bytes are, the answer is a picture or a sentence.
TEST(Picture, DamagedBytesNeverDoMoreThanBeRefused) {
  const Picture picture = smooth(16, 16, 3, 5);
  std::uint32_t state = 7;
  const auto draw = [&] { return (state = state * 1664525 + 1013904223) >> 8; };
  int refused = 0;
  for (const Bytes& whole : {encode_png(picture), jpeg_of(picture), jpeg_of(picture, true)}) {
    for (int round = 0; round < 500; ++round) {
      Bytes damaged = whole;
      for (std::uint32_t k = 0; k <= draw() % 3; ++k)
        damaged[draw() % damaged.size()] = static_cast<std::uint8_t>(draw());
      try {
        const Picture found = decode_picture(damaged, "damaged");
        EXPECT_EQ(found.pixels.size(),
                  static_cast<std::size_t>(found.size.h * found.size.w * found.size.c));
      } catch (const Error& error) {
        EXPECT_EQ(error.code(), ExitCode::bad_file) << error.what();
        ++refused;
      }
    }
  }
  EXPECT_GT(refused, 300);
}

TEST(Picture, WhatIsNoPictureIsNamed) {
  expect_bad_file([] { decode_picture({}, "empty.png"); }, {"empty.png: the file is empty"});
  expect_bad_file(
      [] {
        decode_picture(Bytes{'G', 'I', 'F', '8', '9', 'a'}, "a.png");
      },
      {"a.png: byte 0: 47 49 46 38 39 61", "neither a PNG nor a JPEG"});
  expect_bad_file([] { decode_picture(jpeg_of(smooth(8, 8, 3, 1), false, true), "print.jpg"); },
                  {"print.jpg", "CMYK"});
  // A header of 60,000 x 60,000 pixels.
  Bytes bomb = png_of(1, 1, {.depth = 1}, {0});
  const Bytes side{0, 0, 0xea, 0x60};
  std::copy(side.begin(), side.end(), bomb.begin() + 16);
  std::copy(side.begin(), side.end(), bomb.begin() + 20);
  const auto sum = static_cast<std::uint32_t>(::crc32(0, bomb.data() + 12, 17));
  for (int i = 0; i < 4; ++i) bomb[29 + i] = static_cast<std::uint8_t>(sum >> (24 - 8 * i));
  expect_bad_file([&] { decode_picture(bomb, "bomb.png"); },
                  {"bomb.png", "60000x60000", "100000000"});
}

TEST(Picture, ShrinkingIsAMeanAndGrowingIsALine) {
  const Picture two{.size = {2, 2, 1}, .pixels = {0, 100, 100, 200}};
  EXPECT_EQ(resized(two, 1, 1).pixels, (Bytes{100}));
  EXPECT_EQ(resized(two, 2, 2).pixels, two.pixels);
  const Picture wide{.size = {1, 2, 1}, .pixels = {0, 100}};
  EXPECT_EQ(resized(wide, 1, 4).pixels, (Bytes{0, 25, 75, 100}));
  const Picture even{.size = {7, 5, 3}, .pixels = Bytes(105, 77)};
  EXPECT_EQ(resized(even, 3, 11).pixels, Bytes(99, 77));
  EXPECT_EQ(resized({.size = {1, 1, 3}, .pixels = {1, 2, 3}}, 2, 2).pixels,
            (Bytes{1, 2, 3, 1, 2, 3, 1, 2, 3, 1, 2, 3}));
}

TEST(Picture, ChannelsAreRepeatedOrWeighed) {
  const Picture grey{.size = {1, 2, 1}, .pixels = {7, 250}};
  const Picture rgb = with_channels(grey, 3);
  EXPECT_EQ(rgb.pixels, (Bytes{7, 7, 7, 250, 250, 250}));
  EXPECT_EQ(with_channels(rgb, 1).pixels, grey.pixels);
  EXPECT_EQ(
      with_channels({.size = {1, 3, 3}, .pixels = {255, 0, 0, 0, 255, 0, 0, 0, 255}}, 1).pixels,
      (Bytes{76, 150, 29}));
}

}  // namespace
}  // namespace cucina::data
