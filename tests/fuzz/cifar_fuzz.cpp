// Fuzz target: a batch file of CIFAR-10.
#include "recipe/data/cifar.h"
#include "tests/fuzz/file.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const cucina::fuzz::MemoryFile fuzzed, healthy;
  static const std::filesystem::path folder = [] {
    healthy.write(std::vector<std::uint8_t>(3073, 1));
    std::string name = "/dev/shm/cucina-fuzz-XXXXXX";
    if (::mkdtemp(name.data()) == nullptr) std::abort();
    const std::filesystem::path path(name);
    for (int i = 1; i <= 5; ++i)
      std::filesystem::create_symlink(i == 3 ? fuzzed.path() : healthy.path(),
                                      path / ("data_batch_" + std::to_string(i) + ".bin"));
    std::filesystem::create_symlink(healthy.path(), path / "test_batch.bin");
    return path;
  }();
  static const int registered = std::atexit([] {
    std::error_code ignored;
    std::filesystem::remove_all(folder, ignored);
  });
  (void)registered;
  // Rows are long: the first byte says how many there are and how many bytes too many, the others
  // are repeated.
  std::vector<std::uint8_t> bytes;
  for (std::size_t i = 0; size > 0 && i < (data[0] % 3) * 3073u + data[0] / 3 % 3; ++i)
    bytes.push_back(data[i % size]);
  fuzzed.write(bytes);
  cucina::fuzz::survives([&] {
    const auto set = cucina::data::load_cifar(folder);
    if (set.train.pixels.size() != static_cast<std::size_t>(set.train.n) * 3072) std::abort();
  });
  return 0;
}
