// Fuzz target: PNG and JPEG files.
#include "recipe/data/picture.h"
#include "tests/fuzz/file.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  cucina::fuzz::survives([&] {
    const cucina::data::PictureSize said = cucina::data::picture_size({data, size}, "fuzz");
    if (said.h * said.w > 1 << 20) return;  // allowed, but slow
    const cucina::data::Picture picture = cucina::data::decode_picture({data, size}, "fuzz");
    if (picture.size != said ||
        picture.pixels.size() != static_cast<std::size_t>(said.h * said.w * said.c))
      std::abort();
  });
  return 0;
}
