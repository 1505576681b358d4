// Fuzz target: TOML files, of settings and of layers.
#include "core/toml_file.h"
#include "nn/model_file.h"
#include "tests/fuzz/file.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string text(reinterpret_cast<const char*>(data), size);
  cucina::fuzz::survives([&] { cucina::parse_toml(text, "fuzz.toml", {}); });
  cucina::fuzz::survives([&] { cucina::nn::parse_layers(text, "fuzz.toml"); });
  return 0;
}
