// Hashes a model's state.
#include "recipe/skeleton/fingerprint.h"

#include <fmt/ranges.h>

#include <algorithm>

#include "nn/weights.h"
#include "recipe/data/sha256.h"

namespace cucina::skeleton {

std::string fingerprint(const nn::Module& module) {
  std::vector<nn::TensorToStore> state = nn::state(module);
  std::sort(state.begin(), state.end(),
            [](const auto& a, const auto& b) { return a.name < b.name; });
  data::Sha256 sha;
  for (const nn::TensorToStore& tensor : state) {
    const std::string head =
        fmt::format("{} {} ({})\n", tensor.name, tensor.dtype, fmt::join(tensor.shape, ", "));
    sha.update(head.data(), head.size());
    sha.update(tensor.bytes.data(), tensor.bytes.size());
  }
  return sha.hex();
}

}  // namespace cucina::skeleton
