// Draws initial values on the host and copies them to where the parameters are.
#include "nn/init.h"

#include <algorithm>
#include <cmath>
#include <string_view>
#include <vector>

#include "core/error.h"
#include "core/math.h"

namespace cucina::nn {

void kaiming(const Tensor& weight, const RandomStream& random, const Kaiming& options) {
  const Shape& shape = weight.shape();
  if (shape.rank() < 2 || shape.elements() == 0)
    fail("kaiming: weight has shape {}; outputs and at least one input are needed",
         to_string(shape));
  const std::int64_t inputs = shape.elements() / shape[0];  // of one output; divides evenly
  const auto fan_in = static_cast<double>(inputs);
  const double deviation = options.gain / std::sqrt(fan_in);
  // A uniform distribution over [-a, a] has variance a^2 / 3.
  const double bound = deviation * std::sqrt(3.0);
  std::vector<float> values(static_cast<std::size_t>(shape.elements()));
  for (std::size_t i = 0; i < values.size(); ++i) {
    const double value = options.distribution == Distribution::normal
                             ? deviation * random.normal(0, i)
                             : bound * (2.0 * random.uniform(0, i) - 1.0);
    values[i] = static_cast<float>(value);
  }
  weight.copy_from(Tensor::from(values, shape).to(weight.dtype()));
}

void initialise(const Module& module, std::uint64_t seed, const Kaiming& options) {
  const RandomStream random(seed, "init");
  std::uint32_t index = 0;
  for (const NamedTensor& parameter : module.parameters()) {
    const std::string_view name = parameter.name;
    const RandomStream own = random.substream(index++);
    if (parameter.tensor.shape().rank() >= 2) {
      kaiming(parameter.tensor, own, options);
    } else {
      parameter.tensor.fill(name.ends_with("weight") ? 1.0 : 0.0);
    }
  }
}

void init_head(const Linear& head, std::span<const std::int64_t> class_counts) {
  const auto outputs = head.weight().size(0);
  if (!head.bias().defined())
    fail("init_head: the layer has no bias; make it with one, to hold the class frequencies");
  if (static_cast<std::int64_t>(class_counts.size()) != outputs)
    fail("init_head: {} class counts for a layer of {} outputs", class_counts.size(), outputs);
  double total = 0;
  for (const std::int64_t count : class_counts) total += std::max(0.5, static_cast<double>(count));
  std::vector<float> logs;
  for (const std::int64_t count : class_counts)
    logs.push_back(
        static_cast<float>(math::log(std::max(0.5, static_cast<double>(count)) / total)));
  head.weight().zero();
  head.bias().copy_from(Tensor::from(logs, {outputs}));
}

}  // namespace cucina::nn
