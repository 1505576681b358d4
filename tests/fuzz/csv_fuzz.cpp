// Fuzz target: rows of comma-separated values.
#include "recipe/data/csv.h"
#include "tests/fuzz/file.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  cucina::fuzz::survives([&] {
    for (const auto& row :
         cucina::data::parse_csv({reinterpret_cast<const char*>(data), size}, "fuzz.csv")) {
      if (row.line < 1 || row.cells.empty()) std::abort();
    }
  });
  return 0;
}
