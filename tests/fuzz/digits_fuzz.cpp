// Fuzz target: the digits' CSV.
#include "recipe/data/digits.h"
#include "tests/fuzz/file.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  cucina::fuzz::survives([&] {
    const auto set =
        cucina::data::parse_digits({reinterpret_cast<const char*>(data), size}, "fuzz");
    if (set.pixels.size() != static_cast<std::size_t>(set.n) * 64) std::abort();
  });
  return 0;
}
