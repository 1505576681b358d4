// Stands in for the codecs in a build without libpng and libjpeg-turbo.
#include "core/error.h"
#include "recipe/data/picture.h"

namespace cucina::data {
namespace {

[[noreturn]] void fail_absent(const std::string& what) {
  fail(ExitCode::run_failed,
       "{}: this build of cucina has no PNG and JPEG; install libpng-dev and libjpeg-dev, then "
       "build "
       "again",
       what);
}

}  // namespace

bool picture_files_available() { return false; }

PictureSize png_size(Encoded, const std::string& path) { fail_absent(path); }
Picture decode_png(Encoded, const std::string& path) { fail_absent(path); }
PictureSize jpeg_size(Encoded, const std::string& path) { fail_absent(path); }
Picture decode_jpeg(Encoded, const std::string& path) { fail_absent(path); }
std::vector<std::uint8_t> encode_png(const Picture&) { fail_absent("png"); }

}  // namespace cucina::data
