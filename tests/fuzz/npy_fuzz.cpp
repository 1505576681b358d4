// Fuzz target: .npy files.
#include "recipe/data/npy.h"
#include "tests/fuzz/file.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const cucina::fuzz::MemoryFile file;
  file.write({data, size});
  cucina::fuzz::survives([&] {
    const cucina::data::NpyArray array = cucina::data::read_npy(file.path(), 1 << 20);
    if (array.bytes.size() > 1 << 20) std::abort();
  });
  return 0;
}
