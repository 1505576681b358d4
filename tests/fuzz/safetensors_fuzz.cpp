// Fuzz target: safetensors files.
#include "nn/safetensors.h"
#include "tests/fuzz/file.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const cucina::fuzz::MemoryFile file;
  file.write({data, size});
  cucina::fuzz::survives([&] {
    const cucina::nn::Safetensors read = cucina::nn::read_safetensors(file.path());
    for (const cucina::nn::StoredTensor& tensor : read.tensors) {
      if (read.bytes(tensor).size() != tensor.end - tensor.begin) std::abort();
    }
  });
  return 0;
}
