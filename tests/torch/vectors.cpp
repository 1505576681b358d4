// Reading the vectors: safetensors files into tensors on the cpu.
#include "tests/torch/vectors.h"

#include <algorithm>
#include <cstring>

#include "core/error.h"
#include "nn/safetensors.h"

namespace cucina::testing {
namespace {

Tensor to_tensor(const nn::Safetensors& file, const nn::StoredTensor& stored) {
  static const std::map<std::string, DType> kDTypes{
      {"F64", DType::f64}, {"F32", DType::f32}, {"I32", DType::i32}, {"U8", DType::u8}};
  const Tensor tensor = Tensor::empty(Shape(stored.shape), kDTypes.at(stored.dtype));
  const auto bytes = file.bytes(stored);
  std::memcpy(tensor.raw(), bytes.data(), bytes.size());
  return tensor;
}

}  // namespace

const Tensor& Vector::at(const std::string& array) const {
  const auto found = arrays.find(array);
  if (found == arrays.end()) fail("{}: the vectors lack {}", name, array);
  return found->second;
}

std::map<std::string, Tensor> Vector::under(const std::string& prefix) const {
  std::map<std::string, Tensor> found;
  for (const auto& [array, tensor] : arrays) {
    if (array.starts_with(prefix)) found.emplace(array.substr(prefix.size()), tensor);
  }
  return found;
}

std::vector<Vector> read_vectors(const std::filesystem::path& folder) {
  std::vector<Vector> vectors;
  if (!std::filesystem::is_directory(folder)) return vectors;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    if (entry.path().extension() != ".safetensors") continue;
    const nn::Safetensors file = nn::read_safetensors(entry.path());
    Vector vector{.name = entry.path().stem().string(),
                  .op = file.metadata.at("op"),
                  .torch = file.metadata.at("torch"),
                  .params = nlohmann::json::parse(file.metadata.at("params"))};
    for (const nn::StoredTensor& stored : file.tensors) {
      vector.arrays.emplace(stored.name, to_tensor(file, stored));
    }
    vectors.push_back(std::move(vector));
  }
  std::sort(vectors.begin(), vectors.end(),
            [](const Vector& a, const Vector& b) { return a.name < b.name; });
  return vectors;
}

}  // namespace cucina::testing
