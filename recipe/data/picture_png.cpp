// PNG by libpng. Its errors jump; so whatever has a destructor lives outside of the functions that
// are jumped out of.
#include <png.h>

#include <csetjmp>
#include <cstring>

#include "core/error.h"
#include "recipe/data/picture.h"

namespace cucina::data {
namespace {

struct Read {
  png_structp png = nullptr;
  png_infop info = nullptr;
  Encoded left;
  std::string error;
  std::vector<std::uint8_t> pixels;
  std::vector<png_bytep> rows;

  Read() = default;
  Read(const Read&) = delete;
  Read& operator=(const Read&) = delete;
  ~Read() { png_destroy_read_struct(&png, &info, nullptr); }
};

[[noreturn]] void jump(png_structp png, png_const_charp text) {
  static_cast<Read*>(png_get_error_ptr(png))->error = text;
  png_longjmp(png, 1);
}

void ignore(png_structp, png_const_charp) {}

void take(png_structp png, png_bytep to, std::size_t size) {
  auto* read = static_cast<Read*>(png_get_io_ptr(png));
  if (read->left.size() < size) png_error(png, "the file is cut short");
  std::memcpy(to, read->left.data(), size);
  read->left = read->left.subspan(size);
}

bool has_alpha(const Read& read) {
  return (png_get_color_type(read.png, read.info) & PNG_COLOR_MASK_ALPHA) != 0 ||
         png_get_valid(read.png, read.info, PNG_INFO_tRNS) != 0;
}

std::int64_t colours(const Read& read) {
  return (png_get_color_type(read.png, read.info) & PNG_COLOR_MASK_COLOR) != 0 ? 3 : 1;
}

bool read_header(Read* read) {
  if (setjmp(png_jmpbuf(read->png))) return false;
  png_set_read_fn(read->png, read, &take);
  png_read_info(read->png, read->info);
  return true;
}

// Asks for 8 bits of grey or RGB, with alpha where there is any.
bool read_rows(Read* read) {
  if (setjmp(png_jmpbuf(read->png))) return false;
  png_set_scale_16(read->png);
  png_set_expand(read->png);
  png_set_interlace_handling(read->png);
  png_read_update_info(read->png, read->info);
  const std::size_t stride = png_get_rowbytes(read->png, read->info);
  const std::size_t h = png_get_image_height(read->png, read->info);
  read->pixels.resize(stride * h);
  read->rows.resize(h);
  for (std::size_t y = 0; y < h; ++y) read->rows[y] = read->pixels.data() + y * stride;
  png_read_image(read->png, read->rows.data());
  png_read_end(read->png, nullptr);
  return true;
}

[[noreturn]] void fail_damaged(const std::string& path, const std::string& cause) {
  fail(ExitCode::bad_file, "{}: is no whole PNG file ({}); fetch it again", path, cause);
}

void open(Read* read, Encoded bytes, const std::string& path) {
  read->left = bytes;
  read->png = png_create_read_struct(PNG_LIBPNG_VER_STRING, read, &jump, &ignore);
  read->info = read->png == nullptr ? nullptr : png_create_info_struct(read->png);
  if (read->info == nullptr)
    fail(ExitCode::no_resources, "{}: libpng has no memory to read it", path);
  if (!read_header(read)) fail_damaged(path, read->error);
  const std::int64_t h = png_get_image_height(read->png, read->info);
  const std::int64_t w = png_get_image_width(read->png, read->info);
  if (h > kMostPixels / w)
    fail(ExitCode::bad_file,
         "{}: its header says {}x{} pixels, more than the {} allowed; shrink it", path, h, w,
         kMostPixels);
}

PictureSize size_of(const Read& read) {
  return {png_get_image_height(read.png, read.info), png_get_image_width(read.png, read.info),
          colours(read)};
}

}  // namespace

bool picture_files_available() { return true; }

PictureSize png_size(Encoded bytes, const std::string& path) {
  Read read;
  open(&read, bytes, path);
  return size_of(read);
}

Picture decode_png(Encoded bytes, const std::string& path) {
  Read read;
  open(&read, bytes, path);
  Picture picture{.size = size_of(read), .pixels = {}};
  const bool alpha = has_alpha(read);
  if (!read_rows(&read)) fail_damaged(path, read.error);
  if (!alpha) {
    picture.pixels = std::move(read.pixels);
    return picture;
  }
  const auto c = static_cast<std::size_t>(picture.size.c);
  picture.pixels.reserve(read.pixels.size() / (c + 1) * c);
  for (std::size_t i = 0; i < read.pixels.size(); i += c + 1) {
    const int opaque = read.pixels[i + c];
    for (std::size_t k = 0; k < c; ++k)
      picture.pixels.push_back(static_cast<std::uint8_t>(
          (read.pixels[i + k] * opaque + 255 * (255 - opaque) + 127) / 255));
  }
  return picture;
}

std::vector<std::uint8_t> encode_png(const Picture& picture) {
  png_image image{};
  image.version = PNG_IMAGE_VERSION;
  image.width = static_cast<png_uint_32>(picture.size.w);
  image.height = static_cast<png_uint_32>(picture.size.h);
  image.format = picture.size.c == 1 ? PNG_FORMAT_GRAY : PNG_FORMAT_RGB;
  png_alloc_size_t size = PNG_IMAGE_PNG_SIZE_MAX(image);
  std::vector<std::uint8_t> bytes(size);
  if (png_image_write_to_memory(&image, bytes.data(), &size, 0, picture.pixels.data(), 0,
                                nullptr) == 0)
    fail(ExitCode::run_failed, "png: a picture of {}x{} cannot be written ({})", picture.size.h,
         picture.size.w, image.message);
  bytes.resize(size);
  return bytes;
}

}  // namespace cucina::data
