// What each op of the vectors is here: its front door, called as the vector says.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <string_view>

#include "tests/torch/vectors.h"

namespace cucina::testing {

// A vector's inputs; an absent one is undefined.
class Inputs {
 public:
  explicit Inputs(std::map<std::string, Tensor> tensors) : tensors_(std::move(tensors)) {}
  const Tensor& operator[](const std::string& name) const {
    static const Tensor kUndefined;
    const auto found = tensors_.find(name);
    return found != tensors_.end() ? found->second : kUndefined;
  }

 private:
  std::map<std::string, Tensor> tensors_;
};

struct FrontDoor {
  std::string room;  // whose backends it runs on
  std::function<Tensor(const nlohmann::json& params, const Inputs& in)> call;
};

// By the name of the op in the vectors.
const std::map<std::string, FrontDoor>& front_doors();

}  // namespace cucina::testing
