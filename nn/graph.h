// A network as a list of ONNX operators on images (n, c, h, w), without any ONNX library: what
// modules write and what an export reads.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "core/shape.h"

namespace cucina::nn {

class Graph {
 public:
  using Attribute = std::variant<std::int64_t, float, std::vector<std::int64_t>>;
  using Attributes = std::vector<std::pair<std::string, Attribute>>;

  // One operator of opset 17 with its first, and here only, result.
  struct Node {
    std::string op;
    std::vector<std::string> inputs;
    std::string output;
    Attributes attributes;
  };
  struct Constant {
    std::string name;
    std::vector<std::int64_t> shape;
    std::variant<std::vector<float>, std::vector<std::int64_t>> values;
  };

  // Appends a node and returns the name of its result.
  std::string add(const std::string& op, std::vector<std::string> inputs,
                  Attributes attributes = {}) {
    nodes_.push_back(
        {op, std::move(inputs), op + "_" + std::to_string(nodes_.size()), std::move(attributes)});
    return nodes_.back().output;
  }
  // Appends constants and returns their names.
  std::string number(float value) { return add_constant({}, std::vector<float>{value}); }
  std::string numbers(std::vector<float> values) {
    const auto n = static_cast<std::int64_t>(values.size());
    return add_constant({n}, std::move(values));
  }
  std::string sizes(std::vector<std::int64_t> values) {
    const auto n = static_cast<std::int64_t>(values.size());
    return add_constant({n}, std::move(values));
  }

  const std::vector<Node>& nodes() const { return nodes_; }
  const std::vector<Constant>& constants() const { return constants_; }

 private:
  std::string add_constant(std::vector<std::int64_t> shape,
                           std::variant<std::vector<float>, std::vector<std::int64_t>> values) {
    constants_.push_back(
        {"constant_" + std::to_string(constants_.size()), std::move(shape), std::move(values)});
    return constants_.back().name;
  }

  std::vector<Node> nodes_;
  std::vector<Constant> constants_;
};

// Where in a graph a module writes.
struct GraphInput {
  Graph* graph;
  std::string name;  // the module's, as in state_dict: "layer1.0"
  std::string x;     // what goes in
  Shape shape;       // of x, in our order: (n, h, w, c) or (n, c)

  // A parameter or buffer of the module.
  std::string own(const std::string& tensor) const {
    return name.empty() ? tensor : name + "." + tensor;
  }
};

}  // namespace cucina::nn
