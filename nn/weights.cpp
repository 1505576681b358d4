// Saves and loads models, permuting between our order of elements and PyTorch's.
#include "nn/weights.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <map>
#include <nlohmann/json.hpp>
#include <set>
#include <utility>

#include "core/error.h"

namespace cucina::nn {
namespace {

constexpr std::string_view kPrefix = "cucina.";

std::vector<NamedTensor> all_tensors(const Module& module) {
  std::vector<NamedTensor> all = module.parameters();
  const std::vector<NamedTensor> buffers = module.buffers();
  all.insert(all.end(), buffers.begin(), buffers.end());
  return all;
}

// As PyTorch has it: (o, h, w, c) becomes (o, c, h, w); joined columns stay joined.
std::vector<std::int64_t> stored_shape(const NamedTensor& named) {
  const Shape& shape = named.tensor.shape();
  if (named.channels_last && shape.rank() == 4) return {shape[0], shape[3], shape[1], shape[2]};
  return {shape.sizes().begin(), shape.sizes().end()};
}

std::string stored_dtype(const NamedTensor& named) {
  switch (named.tensor.dtype()) {
    case DType::f32:
      return "F32";
    case DType::f64:
      return "F64";
    case DType::i32:
      return "I64";  // PyTorch counts batches in 64 bits
    default:
      fail("weights: {} is {}, which is not saved", named.name, name(named.tensor.dtype()));
  }
}

// Calls copy(ours, theirs) with the places of each element in our order and in PyTorch's.
template <typename Copy>
void for_each_place(const NamedTensor& named, Copy copy) {
  if (!named.channels_last) {
    for (std::int64_t i = 0; i < named.tensor.elements(); ++i) copy(i, i);
    return;
  }
  const Shape& s = *named.channels_last;
  std::int64_t ours = 0;
  for (std::int64_t o = 0; o < s[0]; ++o)
    for (std::int64_t h = 0; h < s[1]; ++h)
      for (std::int64_t w = 0; w < s[2]; ++w)
        for (std::int64_t c = 0; c < s[3]; ++c)
          copy(ours++, ((o * s[3] + c) * s[1] + h) * s[2] + w);
}

template <typename T, typename Stored = T>
std::vector<std::uint8_t> to_stored(const NamedTensor& named) {
  const std::vector<T> values = named.tensor.to_vector<T>();
  std::vector<std::uint8_t> bytes(values.size() * sizeof(Stored));
  for_each_place(named, [&](std::int64_t ours, std::int64_t theirs) {
    const auto value = static_cast<Stored>(values[static_cast<std::size_t>(ours)]);
    std::memcpy(bytes.data() + static_cast<std::size_t>(theirs) * sizeof(Stored), &value,
                sizeof value);
  });
  return bytes;
}

template <typename T, typename Stored = T>
void from_stored(const NamedTensor& named, std::span<const std::uint8_t> bytes) {
  std::vector<T> values(static_cast<std::size_t>(named.tensor.elements()));
  for_each_place(named, [&](std::int64_t ours, std::int64_t theirs) {
    Stored value;
    std::memcpy(&value, bytes.data() + static_cast<std::size_t>(theirs) * sizeof(Stored),
                sizeof value);
    values[static_cast<std::size_t>(ours)] = static_cast<T>(value);
  });
  named.tensor.copy_from(Tensor::from(values, named.tensor.shape()));
}

std::string shape_text(const std::vector<std::int64_t>& shape) {
  std::string text;
  for (const std::int64_t size : shape) text += (text.empty() ? "" : ", ") + std::to_string(size);
  return "(" + text + ")";
}

// "a, b, c and 4 more"
std::string listed(const std::vector<std::string>& names) {
  constexpr std::size_t kShown = 6;
  std::string text;
  for (std::size_t i = 0; i < std::min(names.size(), kShown); ++i)
    text += (i == 0 ? "" : ", ") + names[i];
  if (names.size() > kShown) text += fmt::format(" and {} more", names.size() - kShown);
  return text;
}

// One metadata entry as JSON.
nlohmann::json metadata_value(const Safetensors& file, const std::string& key) {
  const auto found = file.metadata.find(std::string(kPrefix) + key);
  if (found == file.metadata.end())
    fail(ExitCode::bad_file,
         "{}: byte 8: the metadata lack {}{}; the file is not a model that cucina saved", file.path,
         kPrefix, key);
  nlohmann::json value = nlohmann::json::parse(found->second, nullptr, false);
  if (value.is_discarded())
    fail(ExitCode::bad_file, "{}: byte 8: {}{} in the metadata is not JSON; save the model again",
         file.path, kPrefix, key);
  return value;
}

template <typename T>
T metadata(const Safetensors& file, const std::string& key) {
  try {
    return metadata_value(file, key).get<T>();
  } catch (const nlohmann::json::exception&) {
    fail(ExitCode::bad_file,
         "{}: byte 8: {}{} in the metadata has the wrong type; save the model again", file.path,
         kPrefix, key);
  }
}

// Would get<double>() or get<int64_t>() convert it silently? Only numbers of the right kind pass.
std::vector<std::int64_t> metadata_sizes(const Safetensors& file, const std::string& key) {
  const nlohmann::json value = metadata_value(file, key);
  std::vector<std::int64_t> sizes;
  constexpr std::int64_t kMost = 1 << 16;  // pixels along a side, or channels
  for (const nlohmann::json& size : value) {
    const bool fits = size.is_number_integer() && size > 0 && size <= kMost;
    if (!fits || sizes.size() == 3)
      fail(ExitCode::bad_file,
           "{}: byte 8: {}{} in the metadata is {}; three sizes from 1 to {} "
           "are due",
           file.path, kPrefix, key, value.dump().substr(0, 60), kMost);
    sizes.push_back(size.get<std::int64_t>());
  }
  if (sizes.size() != 3)
    fail(ExitCode::bad_file, "{}: byte 8: {}{} in the metadata holds {} sizes; 3 are due",
         file.path, kPrefix, key, sizes.size());
  return sizes;
}

void check_statistics(const Safetensors& file, const ModelInfo& info, std::int64_t channels) {
  const auto finite = [](double value) { return std::isfinite(value); };
  const auto positive = [](double value) { return std::isfinite(value) && value > 0; };
  if (static_cast<std::int64_t>(info.mean.size()) != channels ||
      static_cast<std::int64_t>(info.stddev.size()) != channels ||
      !std::all_of(info.mean.begin(), info.mean.end(), finite) ||
      !std::all_of(info.stddev.begin(), info.stddev.end(), positive))
    fail(ExitCode::bad_file,
         "{}: byte 8: the metadata have {} means and {} deviations for {} channels; as many finite "
         "ones, the deviations positive, are due",
         file.path, info.mean.size(), info.stddev.size(), channels);
}

}  // namespace

std::vector<TensorToStore> state(const Module& module) {
  std::vector<TensorToStore> stored;
  for (const NamedTensor& named : all_tensors(module)) {
    TensorToStore one{.name = named.name,
                      .dtype = stored_dtype(named),
                      .shape = stored_shape(named),
                      .bytes = {}};
    if (one.dtype == "F32") one.bytes = to_stored<float>(named);
    if (one.dtype == "F64") one.bytes = to_stored<double>(named);
    if (one.dtype == "I64") one.bytes = to_stored<std::int32_t, std::int64_t>(named);
    stored.push_back(std::move(one));
  }
  return stored;
}

std::map<std::string, std::string> model_metadata(const Model& model, const ModelInfo& info) {
  const ModelSpec& spec = model.spec;
  std::map<std::string, std::string> metadata;
  const auto add = [&](const std::string& key, const nlohmann::json& value) {
    metadata[std::string(kPrefix) + key] =
        value.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
  };
  add("model", spec.name);
  add("image", {spec.h, spec.w, spec.c});
  add("classes", info.class_names);
  add("mean", info.mean);
  add("std", info.stddev);
  if (spec.dropout > 0) add("dropout", spec.dropout);
  if (!spec.layers.empty()) metadata[std::string(kPrefix) + "layers"] = spec.layers;
  if (!info.recipe.empty()) add("recipe", info.recipe);
  return metadata;
}

void save_model(const std::filesystem::path& path, const Model& model, const ModelInfo& info) {
  std::map<std::string, std::string> metadata = model_metadata(model, info);
  metadata["format"] = "pt";
  write_safetensors(path, state(*model.net), metadata);
}

void load_weights(const Module& module, const Safetensors& file) {
  std::vector<std::string> missing, unexpected, mismatched;
  std::set<std::string> expected;
  const std::vector<NamedTensor> tensors = all_tensors(module);
  std::map<std::string_view, const StoredTensor*> stored;
  for (const StoredTensor& tensor : file.tensors) stored[tensor.name] = &tensor;
  for (const NamedTensor& named : tensors) {
    expected.insert(named.name);
    const auto found = stored.find(named.name);
    if (found == stored.end()) {
      if (!named.name.ends_with("num_batches_tracked")) missing.push_back(named.name);
      continue;
    }
    const StoredTensor& tensor = *found->second;
    const std::vector<std::int64_t> shape = stored_shape(named);
    if (tensor.shape != shape || tensor.dtype != stored_dtype(named))
      mismatched.push_back(fmt::format("{} ({} {}, due is {} {})", named.name, tensor.dtype,
                                       shape_text(tensor.shape), stored_dtype(named),
                                       shape_text(shape)));
  }
  for (const StoredTensor& tensor : file.tensors) {
    if (expected.count(tensor.name) == 0) unexpected.push_back(tensor.name.substr(0, 60));
  }
  if (!missing.empty() || !unexpected.empty() || !mismatched.empty()) {
    std::string text;
    for (const auto& [what, names] :
         {std::pair{"missing", missing}, std::pair{"unexpected", unexpected},
          std::pair{"mismatched", mismatched}}) {
      if (!names.empty())
        text +=
            fmt::format("{}{} {}: {}", text.empty() ? "" : "; ", names.size(), what, listed(names));
    }
    fail(ExitCode::bad_file, "{}: byte 8: the weights are of another model: {}", file.path, text);
  }
  for (const NamedTensor& named : tensors) {
    const auto found = stored.find(named.name);
    if (found == stored.end()) continue;
    const auto bytes = file.bytes(*found->second);
    if (named.tensor.dtype() == DType::f64) {
      from_stored<double>(named, bytes);
    } else if (named.tensor.dtype() == DType::i32) {
      from_stored<std::int32_t, std::int64_t>(named, bytes);
    } else {
      from_stored<float>(named, bytes);
    }
  }
}

LoadedModel load_model(const std::filesystem::path& path) {
  const Safetensors file = read_safetensors(path);
  LoadedModel loaded;
  const std::vector<std::int64_t> image = metadata_sizes(file, "image");
  ModelSpec spec{
      .name = metadata<std::string>(file, "model"), .h = image[0], .w = image[1], .c = image[2]};
  loaded.info = {.class_names = metadata<std::vector<std::string>>(file, "classes"),
                 .mean = metadata<std::vector<double>>(file, "mean"),
                 .stddev = metadata<std::vector<double>>(file, "std"),
                 .recipe = {}};
  if (file.metadata.count(std::string(kPrefix) + "recipe") != 0)
    loaded.info.recipe = metadata<std::map<std::string, std::string>>(file, "recipe");
  check_statistics(file, loaded.info, spec.c);
  spec.classes = static_cast<int>(loaded.info.class_names.size());
  if (file.metadata.count(std::string(kPrefix) + "dropout") != 0)
    spec.dropout = metadata<double>(file, "dropout");
  if (file.metadata.count(std::string(kPrefix) + "layers") != 0)
    spec.layers = metadata_value(file, "layers").dump(-1, ' ', true);
  try {
    loaded.model = build_model(spec);
  } catch (const Error& error) {
    fail(ExitCode::bad_file, "{}: byte 8: the metadata describe what cannot be built: {}",
         file.path, error.what());
  }
  load_weights(*loaded.model.net, file);
  return loaded;
}

}  // namespace cucina::nn
