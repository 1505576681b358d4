// Draws initial values on the host and copies them to where the parameters are.
#include "nn/init.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "core/error.h"

namespace cucina::nn {
namespace {

void check_weight(const char* what, const Shape& shape) {
  if (shape.rank() < 2 || shape.elements() == 0)
    fail("{}: weight has shape {}; outputs and at least one input are needed", what,
         to_string(shape));
}

void fill(const Tensor& weight, const std::vector<float>& values) {
  weight.copy_from(Tensor::from(values, weight.shape()).to(weight.dtype()));
}

void draw(const Tensor& weight, const RandomStream& random, Distribution distribution,
          double deviation) {
  // A uniform distribution over [-a, a] has variance a^2 / 3.
  const double bound = deviation * std::sqrt(3.0);
  std::vector<float> values(static_cast<std::size_t>(weight.elements()));
  for (std::size_t i = 0; i < values.size(); ++i) {
    const double value = distribution == Distribution::normal
                             ? deviation * random.normal(0, i)
                             : bound * (2.0 * random.uniform(0, i) - 1.0);
    values[i] = static_cast<float>(value);
  }
  fill(weight, values);
}

// Takes from `vector` its parts along `others`, and makes it of length 1. Twice, as the first time
// leaves rounding errors of what was taken.
//   source   Giraud et al. 2005, "The loss of orthogonality in the Gram-Schmidt process"
void orthonormalise(std::vector<double>* vector, const std::vector<std::vector<double>>& others) {
  for (int pass = 0; pass < 2; ++pass) {
    for (const std::vector<double>& other : others) {
      const double along = std::inner_product(vector->begin(), vector->end(), other.begin(), 0.0);
      for (std::size_t i = 0; i < other.size(); ++i) (*vector)[i] -= along * other[i];
    }
  }
  const double length =
      std::sqrt(std::inner_product(vector->begin(), vector->end(), vector->begin(), 0.0));
  for (double& each : *vector) each /= length;
}

struct NamedInitial {
  const char* name;
  Initial initial;
};

const std::vector<NamedInitial>& initials() {
  static const std::vector<NamedInitial> all{
      {"torch", [](const Tensor& weight, const RandomStream& random) { kaiming(weight, random); }},
      {"kaiming-normal",
       [](const Tensor& weight, const RandomStream& random) {
         kaiming(weight, random, {Distribution::normal, kReluGain});
       }},
      {"kaiming-uniform",
       [](const Tensor& weight, const RandomStream& random) {
         kaiming(weight, random, {Distribution::uniform, kReluGain});
       }},
      {"xavier-normal",
       [](const Tensor& weight, const RandomStream& random) {
         xavier(weight, random, {.distribution = Distribution::normal});
       }},
      {"xavier-uniform",
       [](const Tensor& weight, const RandomStream& random) { xavier(weight, random); }},
      {"orthogonal", [](const Tensor& weight,
                        const RandomStream& random) { orthogonal(weight, random, kReluGain); }},
  };
  return all;
}

}  // namespace

void kaiming(const Tensor& weight, const RandomStream& random, const Kaiming& options) {
  const Shape& shape = weight.shape();
  check_weight("kaiming", shape);
  const std::int64_t inputs = shape.elements() / shape[0];  // of one output; divides evenly
  draw(weight, random, options.distribution, options.gain / std::sqrt(static_cast<double>(inputs)));
}

void xavier(const Tensor& weight, const RandomStream& random, const Xavier& options) {
  const Shape& shape = weight.shape();
  check_weight("xavier", shape);
  const auto fan_in = static_cast<double>(shape.elements() / shape[0]);
  const auto fan_out = static_cast<double>(shape.elements() / shape[-1]);
  draw(weight, random, options.distribution, options.gain * std::sqrt(2 / (fan_in + fan_out)));
}

void orthogonal(const Tensor& weight, const RandomStream& random, double gain) {
  check_weight("orthogonal", weight.shape());
  const auto rows = static_cast<std::size_t>(weight.size(0));
  const std::size_t columns = static_cast<std::size_t>(weight.elements()) / rows;
  const std::size_t length = std::max(rows, columns), count = std::min(rows, columns);
  std::vector<std::vector<double>> vectors;
  for (std::size_t i = 0; i < count; ++i) {
    std::vector<double> vector(length);
    for (std::size_t j = 0; j < length; ++j) vector[j] = random.normal(0, i * length + j);
    orthonormalise(&vector, vectors);
    vectors.push_back(std::move(vector));
  }
  std::vector<float> values(rows * columns);
  for (std::size_t i = 0; i < rows; ++i)
    for (std::size_t j = 0; j < columns; ++j)
      values[i * columns + j] =
          static_cast<float>(gain * (rows <= columns ? vectors[i][j] : vectors[j][i]));
  fill(weight, values);
}

void dirac(const Tensor& weight) {
  const Shape& shape = weight.shape();
  if (shape.rank() != 4 || shape[1] % 2 == 0 || shape[2] % 2 == 0)
    fail("dirac: weight has shape {}; filters (k, r, s, c) with an odd window are needed",
         to_string(shape));
  std::vector<float> values(static_cast<std::size_t>(shape.elements()), 0.0f);
  const std::int64_t center = shape[1] / 2 * shape[2] + shape[2] / 2;
  for (std::int64_t i = 0; i < std::min(shape[0], shape[3]); ++i)
    values[static_cast<std::size_t>((i * shape[1] * shape[2] + center) * shape[3] + i)] = 1;
  fill(weight, values);
}

std::vector<std::string> initial_names() {
  std::vector<std::string> names;
  for (const NamedInitial& each : initials()) names.emplace_back(each.name);
  return names;
}

Initial initial_named(std::string_view name) {
  std::string names;
  for (const NamedInitial& each : initials()) {
    if (each.name == name) return each.initial;
    names += (names.empty() ? "" : ", ") + std::string(each.name);
  }
  fail("init: '{}' is unknown; choose one of {}", name, names);
}

void initialise(const Module& module, std::uint64_t seed, const Initial& initial) {
  const RandomStream random(seed, "init");
  std::uint32_t index = 0;
  for (const NamedTensor& parameter : module.parameters()) {
    const std::string_view name = parameter.name;
    const RandomStream own = random.substream(index++);
    if (parameter.tensor.shape().rank() < 2) {
      parameter.tensor.fill(name.ends_with("weight") ? 1.0 : 0.0);
    } else if (initial) {
      initial(parameter.tensor, own);
    } else {
      kaiming(parameter.tensor, own);
    }
  }
}

}  // namespace cucina::nn
