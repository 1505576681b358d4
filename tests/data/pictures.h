// Small PNG and JPEG files of every kind, written by the libraries themselves.
#pragma once

#include <cstdio>
// jpeglib.h needs FILE.
#include <jpeglib.h>
#include <png.h>

#include <csetjmp>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <vector>

#include "recipe/data/picture.h"
#include "tests/data/files.h"

namespace cucina::data {

// What PNG can hold besides 8-bit grey and RGB. `rows` are the bytes of the file's own format.
struct PngKind {
  int color = PNG_COLOR_TYPE_GRAY;
  int depth = 8;
  bool interlaced = false;
  std::vector<png_color> palette = {};
  std::vector<png_byte> transparent = {};  // opacity of the first entries of the palette
};

inline Bytes png_of(std::uint32_t h, std::uint32_t w, const PngKind& kind, Bytes rows) {
  Bytes file;
  png_structp png = png_create_write_struct(PNG_LIBPNG_VER_STRING, nullptr, nullptr, nullptr);
  png_infop info = png_create_info_struct(png);
  if (setjmp(png_jmpbuf(png))) std::abort();
  png_set_write_fn(
      png, &file,
      [](png_structp to, png_bytep bytes, std::size_t size) {
        auto* out = static_cast<Bytes*>(png_get_io_ptr(to));
        out->insert(out->end(), bytes, bytes + size);
      },
      nullptr);
  png_set_IHDR(png, info, w, h, kind.depth, kind.color,
               kind.interlaced ? PNG_INTERLACE_ADAM7 : PNG_INTERLACE_NONE,
               PNG_COMPRESSION_TYPE_BASE, PNG_FILTER_TYPE_BASE);
  if (!kind.palette.empty())
    png_set_PLTE(png, info, kind.palette.data(), static_cast<int>(kind.palette.size()));
  if (!kind.transparent.empty())
    png_set_tRNS(png, info, kind.transparent.data(), static_cast<int>(kind.transparent.size()),
                 nullptr);
  png_write_info(png, info);
  std::vector<png_bytep> pointers(h);
  for (std::uint32_t y = 0; y < h; ++y) pointers[y] = rows.data() + y * (rows.size() / h);
  png_write_image(png, pointers.data());
  png_write_end(png, nullptr);
  png_destroy_write_struct(&png, &info);
  return file;
}

inline Bytes jpeg_of(const Picture& picture, bool progressive = false, bool print = false) {
  jpeg_compress_struct jpeg{};
  jpeg_error_mgr errors{};
  jpeg.err = jpeg_std_error(&errors);
  jpeg_create_compress(&jpeg);
  unsigned char* bytes = nullptr;
  unsigned long size = 0;
  jpeg_mem_dest(&jpeg, &bytes, &size);
  jpeg.image_height = static_cast<JDIMENSION>(picture.size.h);
  jpeg.image_width = static_cast<JDIMENSION>(picture.size.w);
  jpeg.input_components = print ? 4 : static_cast<int>(picture.size.c);
  jpeg.in_color_space = print ? JCS_CMYK : picture.size.c == 1 ? JCS_GRAYSCALE : JCS_RGB;
  jpeg_set_defaults(&jpeg);
  jpeg_set_quality(&jpeg, 95, TRUE);
  if (progressive) jpeg_simple_progression(&jpeg);
  jpeg_start_compress(&jpeg, TRUE);
  const std::size_t stride =
      static_cast<std::size_t>(picture.size.w) * static_cast<std::size_t>(jpeg.input_components);
  Bytes row(stride, 100);
  for (std::int64_t y = 0; y < picture.size.h; ++y) {
    if (!print)
      std::copy_n(picture.pixels.begin() + y * static_cast<std::int64_t>(stride), stride,
                  row.begin());
    JSAMPROW pointer = row.data();
    jpeg_write_scanlines(&jpeg, &pointer, 1);
  }
  jpeg_finish_compress(&jpeg);
  Bytes file(bytes, bytes + size);
  std::free(bytes);
  jpeg_destroy_compress(&jpeg);
  return file;
}

// A smooth picture, different for each `seed`.
inline Picture smooth(std::int64_t h, std::int64_t w, std::int64_t c, int seed) {
  Picture picture{.size = {h, w, c}, .pixels = {}};
  for (std::int64_t y = 0; y < h; ++y)
    for (std::int64_t x = 0; x < w; ++x)
      for (std::int64_t k = 0; k < c; ++k)
        picture.pixels.push_back(
            static_cast<std::uint8_t>((seed * 37 + 5 * y + 3 * x + 40 * k) % 200 + 20));
  return picture;
}

inline void write_png(const std::filesystem::path& path, const Picture& picture) {
  std::filesystem::create_directories(path.parent_path());
  write(path, encode_png(picture));
}

}  // namespace cucina::data
