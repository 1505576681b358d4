// Walks through a model's layers and adds up.
#include "nn/summary.h"

#include <fmt/format.h>

#include <vector>

namespace cucina::nn {
namespace {

struct Row {
  std::string name;
  std::string layer;
  Shape shape;
  Costs costs;
};

// A flattened image is the same memory.
std::int64_t bytes_of_result(const PlacedLayer& placed) {
  if (dynamic_cast<const Flatten*>(placed.layer) != nullptr) return 0;
  if (!placed.computed_in.empty()) return 0;  // one result for both
  return placed.y.elements() * static_cast<std::int64_t>(sizeof(float));
}

// A module that has children is listed behind them: its parameters are theirs.
std::vector<Row> rows(const Model& model) {
  std::vector<PlacedLayer> layers;
  model.net->place("", {1, model.spec.h, model.spec.w, model.spec.c}, &layers);
  std::vector<Row> all;
  for (const PlacedLayer& placed : layers) {
    const bool counted = placed.layer->children().empty();
    all.push_back({placed.name,
                   placed.layer->describe() +
                       (placed.computed_in.empty() ? "" : ", in " + placed.computed_in),
                   placed.y,
                   {.parameters = counted ? parameter_count(*placed.layer) : 0,
                    .flops = placed.layer->flops(placed.x),
                    .activation_bytes = bytes_of_result(placed)}});
  }
  return all;
}

std::string line(const std::string& name, const std::string& layer, const std::string& output,
                 const Costs& costs) {
  const std::string count = costs.parameters == 0 ? "" : std::to_string(costs.parameters);
  return fmt::format("{:<24} {:<36} {:<20} {:>11} {:>9} {:>9}\n", name, layer, output, count,
                     in_thousands(costs.flops),
                     in_thousands(static_cast<double>(costs.activation_bytes)));
}

}  // namespace

std::string in_thousands(double value) {
  if (value == 0) return "";
  int power = 0;
  // What would be shown as 1000 is shown as 1 of the next unit.
  for (; value >= 999.5 && power < 4; ++power) value /= 1000;
  constexpr const char* kUnits[] = {"", " k", " M", " G", " T"};
  return fmt::format("{:.3g}{}", value, kUnits[power]);
}

Costs costs(const Model& model) {
  Costs total;
  for (const Row& row : rows(model)) {
    total.parameters += row.costs.parameters;
    total.flops += row.costs.flops;
    total.activation_bytes += row.costs.activation_bytes;
  }
  return total;
}

std::string summary(const Model& model) {
  std::string text = fmt::format("{:<24} {:<36} {:<20} {:>11} {:>9} {:>9}\n", "name", "layer",
                                 "output", "parameters", "FLOP", "bytes");
  text += line("", "image", to_string({1, model.spec.h, model.spec.w, model.spec.c}), {});
  for (const Row& row : rows(model))
    text += line(row.name, row.layer, to_string(row.shape), row.costs);
  return text + line("total", "", "", costs(model));
}

}  // namespace cucina::nn
