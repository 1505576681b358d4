// Writes, finds and reads checkpoints.
#include "recipe/skeleton/checkpoint.h"

#include <fmt/core.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <nlohmann/json.hpp>
#include <set>
#include <span>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include "core/error.h"
#include "nn/weights.h"
#include "recipe/data/sha256.h"

namespace cucina::skeleton {
namespace {

using Json = nlohmann::json;

constexpr std::string_view kModel = "model/";
constexpr std::string_view kOptimizer = "optim/";
constexpr std::string_view kStem = "step-";
constexpr std::string_view kExtension = ".safetensors";

// The number of steps in a checkpoint's name; nothing for another file's.
std::optional<std::int64_t> steps_in(const std::filesystem::path& path) {
  const std::string whole = path.filename().string();
  std::string_view name = whole;
  if (!name.starts_with(kStem) || !name.ends_with(kExtension)) return std::nullopt;
  name.remove_prefix(kStem.size());
  name.remove_suffix(kExtension.size());
  const bool digits =
      !name.empty() && name.size() <= 18 &&
      std::all_of(name.begin(), name.end(), [](char c) { return c >= '0' && c <= '9'; });
  if (!digits) return std::nullopt;
  return std::stoll(std::string(name));
}

// Checkpoints by their steps, in rising order.
std::vector<std::pair<std::int64_t, std::filesystem::path>> all_in(
    const std::filesystem::path& folder) {
  std::vector<std::pair<std::int64_t, std::filesystem::path>> all;
  std::error_code none;
  for (const auto& entry : std::filesystem::directory_iterator(folder, none)) {
    if (const auto steps = steps_in(entry.path())) all.emplace_back(*steps, entry.path());
  }
  std::sort(all.begin(), all.end());
  return all;
}

// Over names, dtypes, shapes and bytes, in the order of the names; and over the metadata's text.
std::string sum_of(std::vector<std::pair<std::string, std::span<const std::uint8_t>>> parts,
                   const std::string& text) {
  std::sort(parts.begin(), parts.end(),
            [](const auto& a, const auto& b) { return a.first < b.first; });
  data::Sha256 sha;
  sha.update(text.data(), text.size());
  for (const auto& [name, bytes] : parts) {
    sha.update(name.data(), name.size());
    sha.update(bytes.data(), bytes.size());
  }
  return sha.hex();
}

Json to_json(const MeanAccumulator& sums) {
  const MeanAccumulator::State& state = sums.state();
  return {state.n, state.mean, state.squares};
}

MeanAccumulator accumulator(const Json& json) {
  return MeanAccumulator({.n = json.at(0).get<std::int64_t>(),
                          .mean = json.at(1).get<double>(),
                          .squares = json.at(2).get<double>()});
}

Json to_json(const Position& position, const Settings& settings) {
  const EpochSums& sums = position.sums;
  Json json{{"version", 1},
            {"step", position.step},
            {"loss", to_json(sums.loss)},
            {"accuracy", to_json(sums.accuracy)},
            {"since_line", to_json(sums.since_line)},
            {"hits_since_line", sums.hits_since_line},
            {"settings", settings}};
  // JSON has no infinity: before the first validation there is no best.
  if (std::isfinite(position.best_loss)) json["best_loss"] = position.best_loss;
  return json;
}

// The part of a flat state that belongs to a parameter; nothing when it lies elsewhere.
std::optional<Tensor> slice(const optim::OptimizerState& state,
                            const nn::ParameterArena::Slot& slot) {
  const std::int64_t begin = slot.offset - state.offset;
  const std::int64_t end = begin + slot.parameter.elements();
  if (begin < 0 || end > state.tensor.elements()) return std::nullopt;
  return state.tensor.rows(begin, end);
}

// The optimiser's state by name in the file.
std::vector<std::pair<std::string, Tensor>> named_state(
    const nn::ParameterArena& arena, const std::vector<optim::OptimizerState>& optimizer) {
  std::vector<std::pair<std::string, Tensor>> all;
  for (const optim::OptimizerState& state : optimizer)
    for (const nn::ParameterArena::Slot& slot : arena.slots())
      if (const auto part = slice(state, slot))
        all.emplace_back(fmt::format("{}{}/{}", kOptimizer, slot.name, state.name), *part);
  return all;
}

std::string stored_name(DType dtype) { return dtype == DType::f64 ? "F64" : "F32"; }

std::vector<std::uint8_t> bytes_of(const Tensor& tensor) {
  const Tensor host = tensor.to(Device::cpu);
  const auto* first = static_cast<const std::uint8_t*>(host.raw());
  return {first, first + host.bytes()};
}

}  // namespace

CheckpointFolder::CheckpointFolder(std::filesystem::path folder, std::int64_t keep,
                                   Settings settings)
    : folder_(std::move(folder)), keep_(keep), settings_(std::move(settings)) {
  if (keep < 1) fail("checkpoints: {} are to be kept; keep at least 1", keep);
}

void CheckpointFolder::save(const Position& position, const nn::Module& module,
                            const nn::ParameterArena& arena,
                            const std::vector<optim::OptimizerState>& optimizer) const {
  std::error_code error;
  std::filesystem::create_directories(folder_, error);
  if (error)
    fail(ExitCode::run_failed, "{}: cannot be made ({}); free some space or choose another --out",
         folder_.string(), error.message());
  std::vector<nn::TensorToStore> tensors = nn::state(module);
  for (nn::TensorToStore& tensor : tensors) tensor.name.insert(0, kModel);
  for (const auto& [name, tensor] : named_state(arena, optimizer))
    tensors.push_back({.name = name,
                       .dtype = stored_name(tensor.dtype()),
                       .shape = {tensor.elements()},
                       .bytes = bytes_of(tensor)});
  std::vector<std::pair<std::string, std::span<const std::uint8_t>>> parts;
  for (const nn::TensorToStore& tensor : tensors) parts.emplace_back(tensor.name, tensor.bytes);
  const std::string text =
      to_json(position, settings_).dump(-1, ' ', false, Json::error_handler_t::replace);
  nn::write_safetensors(
      folder_ / fmt::format("{}{:012}{}", kStem, position.step, kExtension), tensors,
      {{"format", "pt"}, {"cucina.checkpoint", text}, {"cucina.sha256", sum_of(parts, text)}});
  const auto all = all_in(folder_);
  for (std::size_t i = 0; i + static_cast<std::size_t>(keep_) < all.size(); ++i)
    std::filesystem::remove(all[i].second, error);
}

std::optional<std::filesystem::path> CheckpointFolder::newest() const {
  const auto all = all_in(folder_);
  if (all.empty()) return std::nullopt;
  return all.back().second;
}

Checkpoint Checkpoint::read(const std::filesystem::path& path) {
  Checkpoint checkpoint{.file = nn::read_safetensors(path), .position = {}, .settings = {}};
  const auto& metadata = checkpoint.file.metadata;
  const auto text = metadata.find("cucina.checkpoint");
  const auto sum = metadata.find("cucina.sha256");
  if (text == metadata.end() || sum == metadata.end())
    fail(ExitCode::bad_file,
         "{}: byte 8: the metadata lack cucina.checkpoint or cucina.sha256; the file is no "
         "checkpoint of cucina",
         path.string());
  std::vector<std::pair<std::string, std::span<const std::uint8_t>>> parts;
  for (const nn::StoredTensor& tensor : checkpoint.file.tensors)
    parts.emplace_back(tensor.name, checkpoint.file.bytes(tensor));
  if (const std::string found = sum_of(parts, text->second); found != sum->second)
    fail(ExitCode::bad_file,
         "{}: byte 8: its contents sum to {:.12} but {:.12} is noted; the file is damaged: remove "
         "it to go on from the checkpoint before",
         path.string(), found, sum->second);
  try {
    const Json json = Json::parse(text->second);
    if (const auto version = json.at("version").get<int>(); version != 1)
      fail(ExitCode::bad_file,
           "{}: byte 8: a checkpoint of version {}; this cucina reads version 1", path.string(),
           version);
    Position& position = checkpoint.position;
    position.step = json.at("step").get<std::int64_t>();
    position.sums = {.loss = accumulator(json.at("loss")),
                     .accuracy = accumulator(json.at("accuracy")),
                     .since_line = accumulator(json.at("since_line")),
                     .hits_since_line = json.at("hits_since_line").get<std::int64_t>()};
    if (json.contains("best_loss")) position.best_loss = json.at("best_loss").get<double>();
    checkpoint.settings = json.at("settings").get<Settings>();
    if (position.step < 0)
      fail(ExitCode::bad_file, "{}: byte 8: {} steps; a number from 0 on is due", path.string(),
           position.step);
  } catch (const Json::exception&) {
    fail(ExitCode::bad_file,
         "{}: byte 8: cucina.checkpoint in the metadata is not as cucina writes it; remove the "
         "file to go on from the checkpoint before",
         path.string());
  }
  return checkpoint;
}

void Checkpoint::restore(const nn::Module& module, const nn::ParameterArena& arena,
                         const std::vector<optim::OptimizerState>& optimizer) const {
  const auto state = named_state(arena, optimizer);
  std::set<std::string> expected;
  std::vector<std::pair<const nn::StoredTensor*, Tensor>> copies;
  for (const auto& [name, tensor] : state) {
    expected.insert(name);
    const nn::StoredTensor* stored = file.find(name);
    const bool fits = stored != nullptr && stored->dtype == stored_name(tensor.dtype()) &&
                      stored->shape == std::vector{tensor.elements()};
    if (!fits)
      fail(ExitCode::bad_file,
           "{}: byte 8: {} with {} elements of {} is due and absent; the checkpoint is of another "
           "model or optimizer",
           file.path, name, tensor.elements(), stored_name(tensor.dtype()));
    copies.emplace_back(stored, tensor);
  }
  nn::Safetensors weights{.path = file.path, .metadata = {}, .tensors = {}, .data = file.data};
  for (const nn::StoredTensor& stored : file.tensors) {
    if (stored.name.starts_with(kModel)) {
      weights.tensors.push_back(stored);
      weights.tensors.back().name.erase(0, kModel.size());
    } else if (expected.count(stored.name) == 0) {
      fail(ExitCode::bad_file,
           "{}: byte 8: {} is not expected; the checkpoint is of another model or optimizer",
           file.path, stored.name.substr(0, 60));
    }
  }
  nn::load_weights(module, weights);
  for (const auto& [stored, tensor] : copies) {
    const Tensor host = Tensor::empty(tensor.shape(), tensor.dtype());
    const auto bytes = file.bytes(*stored);
    std::memcpy(host.raw(), bytes.data(), bytes.size());
    tensor.copy_from(host);
  }
}

}  // namespace cucina::skeleton
