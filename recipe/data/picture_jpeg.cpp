// JPEG by libjpeg-turbo. Its errors jump; so whatever has a destructor lives outside of the
// functions that are jumped out of.
// clang-format off
#include <cstddef>
#include <cstdio>  // jpeglib.h needs both, and jerror.h needs jpeglib.h
#include <jpeglib.h>
#include <jerror.h>
// clang-format on
#include <csetjmp>

#include "core/error.h"
#include "recipe/data/picture.h"

namespace cucina::data {
namespace {

// A progressive file may have thousands of scans of a large picture in few bytes.
constexpr int kMostScans = 500;

struct Read {
  jpeg_decompress_struct jpeg{};
  jpeg_error_mgr errors{};
  jpeg_progress_mgr progress{};
  std::jmp_buf back{};
  std::string error;
  std::vector<std::uint8_t> pixels;

  Read() = default;
  Read(const Read&) = delete;
  Read& operator=(const Read&) = delete;
  ~Read() { jpeg_destroy_decompress(&jpeg); }
};

[[noreturn]] void jump(j_common_ptr jpeg) {
  auto* read = static_cast<Read*>(jpeg->client_data);
  char text[JMSG_LENGTH_MAX];
  jpeg->err->format_message(jpeg, text);
  read->error = text;
  std::longjmp(read->back, 1);
}

// libjpeg fills what is missing with grey and warns; to us such a picture is damaged.
void judge(j_common_ptr jpeg, int level) {
  if (level >= 0) return;
  switch (jpeg->err->msg_code) {
    case JWRN_JPEG_EOF:
    case JWRN_HIT_MARKER:
    case JWRN_HUFF_BAD_CODE:
    case JWRN_ARITH_BAD_CODE:
    case JWRN_MUST_RESYNC:
    case JWRN_TOO_MUCH_DATA:
      jump(jpeg);
    default:
      return;
  }
}

void count_scans(j_common_ptr jpeg) {
  auto* read = static_cast<Read*>(jpeg->client_data);
  if (read->jpeg.input_scan_number <= kMostScans) return;
  read->error = "it has too many scans";
  std::longjmp(read->back, 1);
}

bool read_header(Read* read, Encoded bytes) {
  if (setjmp(read->back)) return false;
  jpeg_create_decompress(&read->jpeg);
  read->jpeg.client_data = read;
  jpeg_mem_src(&read->jpeg, bytes.data(), bytes.size());
  jpeg_read_header(&read->jpeg, TRUE);
  return true;
}

bool read_rows(Read* read, std::int64_t c) {
  if (setjmp(read->back)) return false;
  read->jpeg.progress = &read->progress;
  read->jpeg.out_color_space = c == 1 ? JCS_GRAYSCALE : JCS_RGB;
  read->jpeg.dct_method = JDCT_ISLOW;  // the exact one
  jpeg_start_decompress(&read->jpeg);
  const std::size_t stride = read->jpeg.output_width * static_cast<std::size_t>(c);
  read->pixels.resize(stride * read->jpeg.output_height);
  while (read->jpeg.output_scanline < read->jpeg.output_height) {
    JSAMPROW row = read->pixels.data() + stride * read->jpeg.output_scanline;
    jpeg_read_scanlines(&read->jpeg, &row, 1);
  }
  jpeg_finish_decompress(&read->jpeg);
  return true;
}

[[noreturn]] void fail_damaged(const std::string& path, const std::string& cause) {
  fail(ExitCode::bad_file, "{}: is no whole JPEG file ({}); fetch it again", path, cause);
}

PictureSize open(Read* read, Encoded bytes, const std::string& path) {
  read->jpeg.err = jpeg_std_error(&read->errors);
  read->errors.error_exit = &jump;
  read->errors.emit_message = &judge;
  read->progress.progress_monitor = &count_scans;
  // Set again once the library has cleared the struct; needed before, should creating it fail.
  read->jpeg.client_data = read;
  if (!read_header(read, bytes)) fail_damaged(path, read->error);
  const std::int64_t h = read->jpeg.image_height, w = read->jpeg.image_width;
  if (h > kMostPixels / w)
    fail(ExitCode::bad_file,
         "{}: its header says {}x{} pixels, more than the {} allowed; shrink it", path, h, w,
         kMostPixels);
  const J_COLOR_SPACE space = read->jpeg.jpeg_color_space;
  if (space == JCS_CMYK || space == JCS_YCCK)
    fail(ExitCode::bad_file, "{}: has the colours of print (CMYK); convert it to RGB", path);
  return {h, w, space == JCS_GRAYSCALE ? 1 : 3};
}

}  // namespace

PictureSize jpeg_size(Encoded bytes, const std::string& path) {
  Read read;
  return open(&read, bytes, path);
}

Picture decode_jpeg(Encoded bytes, const std::string& path) {
  Read read;
  Picture picture{.size = open(&read, bytes, path), .pixels = {}};
  if (!read_rows(&read, picture.size.c)) fail_damaged(path, read.error);
  picture.pixels = std::move(read.pixels);
  return picture;
}

}  // namespace cucina::data
