// safetensors files: named arrays behind a JSON header, read without trusting a byte of them.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace cucina::nn {

// Limits on what is read: the format's own on the header; ours on the count, far above any model.
inline constexpr std::uint64_t kMaxHeaderBytes = 100'000'000;
inline constexpr std::size_t kMaxTensors = 100'000;
inline constexpr std::size_t kMaxRank = 64;

// One array of a file.
struct StoredTensor {
  std::string name;
  std::string dtype;  // "F32", "I64", ...
  std::vector<std::int64_t> shape;
  std::uint64_t begin = 0;  // its bytes are data[begin, end)
  std::uint64_t end = 0;
};

struct Safetensors {
  std::string path;
  std::map<std::string, std::string> metadata;
  std::vector<StoredTensor> tensors;  // in the order of their bytes
  std::vector<std::uint8_t> data;

  const StoredTensor* find(std::string_view name) const;  // null when absent
  std::span<const std::uint8_t> bytes(const StoredTensor& tensor) const;
};

// Reads a whole file.
//   throws   Error, exit code 3, with path and byte offset: anything but a well-formed file. Beyond
//            the format's rules, refused are names that are empty, hold control characters or a
//            path component "..", and unknown keys.
//   source   huggingface.co/docs/safetensors, "Format"
Safetensors read_safetensors(const std::filesystem::path& path);

// What is to be written.
struct TensorToStore {
  std::string name;
  std::string dtype;
  std::vector<std::int64_t> shape;
  std::vector<std::uint8_t> bytes;
};

// Writes all of it or nothing: a temporary file in the same folder is filled, synced and renamed.
// Arrays of wider elements come first, so that each is aligned; otherwise the order is kept.
//   throws   Error, exit code 1, naming the path and the cause; `path` is then as it was
void write_safetensors(const std::filesystem::path& path, std::vector<TensorToStore> tensors,
                       const std::map<std::string, std::string>& metadata);

// Bytes of one element, 0 for an unknown dtype.
std::uint64_t stored_size(std::string_view dtype);

}  // namespace cucina::nn
