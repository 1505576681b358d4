// Fuzz target: idx files, plain and zipped. The first byte says which of the four is the fuzzed
// one.
#include "recipe/data/idx.h"
#include "tests/fuzz/file.h"

namespace {

using Bytes = std::vector<std::uint8_t>;

Bytes idx(std::uint8_t axes, std::uint8_t count, Bytes contents) {
  Bytes bytes{0, 0, 8, axes, 0, 0, 0, count};
  for (int i = 1; i < axes; ++i) bytes.insert(bytes.end(), {0, 0, 0, 2});
  bytes.insert(bytes.end(), contents.begin(), contents.end());
  return bytes;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const cucina::fuzz::MemoryFile files[4];
  static const std::filesystem::path folder = [] {
    std::string name = "/dev/shm/cucina-fuzz-XXXXXX";
    if (::mkdtemp(name.data()) == nullptr) std::abort();
    const char* const names[] = {"train-images-idx3-ubyte", "train-labels-idx1-ubyte",
                                 "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"};
    for (int i = 0; i < 4; ++i)
      std::filesystem::create_symlink(files[i].path(), std::filesystem::path(name) / names[i]);
    return std::filesystem::path(name);
  }();
  static const int registered = std::atexit([] {
    std::error_code ignored;
    std::filesystem::remove_all(folder, ignored);
  });
  (void)registered;
  if (size == 0) return 0;
  for (int i = 0; i < 4; ++i) {
    if (i == data[0] % 4)
      files[i].write({data + 1, size - 1});
    else
      files[i].write(i % 2 == 0 ? idx(3, 12, Bytes(48, 7)) : idx(1, 12, Bytes(12, 3)));
  }
  cucina::fuzz::survives([&] {
    const auto set = cucina::data::load_idx(folder, {.file_bytes = 1 << 20});
    for (const auto* split : {&set.train, &set.validation, &set.test}) {
      if (split->pixels.size() != static_cast<std::size_t>(split->n) * split->image_bytes())
        std::abort();
    }
  });
  return 0;
}
