// The vectors that make_vectors.py made with PyTorch, as tensors.
#pragma once

#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "core/tensor.h"

namespace cucina::testing {

// One case: a call of a front door, or a trajectory of an optimiser.
struct Vector {
  std::string name;  // "conv2d-stride2"
  std::string op;    // "conv2d"
  std::string torch;
  nlohmann::json params;
  std::map<std::string, Tensor> arrays;  // "in/x", "out", "seed", "grad/x", "after/running_mean"

  bool has(const std::string& array) const { return arrays.contains(array); }
  const Tensor& at(const std::string& array) const;
  // The arrays under a prefix, by the rest of their names.
  std::map<std::string, Tensor> under(const std::string& prefix) const;
};

// Every case of a folder, by name; none where there is no folder.
std::vector<Vector> read_vectors(const std::filesystem::path& folder);

}  // namespace cucina::testing
