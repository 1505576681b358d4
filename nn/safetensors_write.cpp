// The safetensors writer: the file appears whole, or not at all.
#include <algorithm>
#include <nlohmann/json.hpp>

#include "core/error.h"
#include "core/whole_file.h"
#include "nn/safetensors.h"

namespace cucina::nn {
void write_safetensors(const std::filesystem::path& path, std::vector<TensorToStore> tensors,
                       const std::map<std::string, std::string>& metadata) {
  std::stable_sort(tensors.begin(), tensors.end(),
                   [](const TensorToStore& a, const TensorToStore& b) {
                     return stored_size(a.dtype) > stored_size(b.dtype);
                   });
  nlohmann::ordered_json header = nlohmann::ordered_json::object();
  if (!metadata.empty()) header["__metadata__"] = metadata;
  std::uint64_t offset = 0;
  for (const TensorToStore& tensor : tensors) {
    const std::uint64_t end = offset + tensor.bytes.size();
    if (header.contains(tensor.name))
      fail("{}: two arrays are named '{}'", path.string(), tensor.name);
    header[tensor.name] = {
        {"dtype", tensor.dtype}, {"shape", tensor.shape}, {"data_offsets", {offset, end}}};
    offset = end;
  }
  // Class names may come from anywhere; what is not UTF-8 becomes U+FFFD.
  std::string text = header.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
  text.resize((text.size() + 7) / 8 * 8, ' ');
  const std::uint64_t header_bytes = text.size();

  WholeFile file(path, [&](const std::string& cause) {
    fail(ExitCode::run_failed,
         "{}: cannot be written ({}); free some space or choose another folder", path.string(),
         cause);
  });
  file.write(&header_bytes, sizeof header_bytes);
  file.write(text.data(), text.size());
  for (const TensorToStore& tensor : tensors) file.write(tensor.bytes.data(), tensor.bytes.size());
  file.finish();
}

}  // namespace cucina::nn
