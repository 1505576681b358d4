// Small generated data files in a folder of their own, and a check of the error a reader answers
// with.
#pragma once

#include <gtest/gtest.h>
#include <unistd.h>
#include <zlib.h>

#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <string>
#include <vector>

#include "core/error.h"

namespace cucina::data {

using Bytes = std::vector<std::uint8_t>;

// A fresh folder whose name has a space; removed at the end.
class Folder {
 public:
  Folder() {
    std::string name = (std::filesystem::temp_directory_path() / "cucina test XXXXXX").string();
    if (::mkdtemp(name.data()) == nullptr) throw std::runtime_error("mkdtemp failed");
    path_ = name;
  }
  ~Folder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;

  const std::filesystem::path& path() const { return path_; }
  std::filesystem::path operator/(const std::string& name) const { return path_ / name; }

 private:
  std::filesystem::path path_;
};

inline void write(const std::filesystem::path& path, const Bytes& bytes) {
  std::ofstream file(path, std::ios::binary | std::ios::trunc);
  file.write(reinterpret_cast<const char*>(bytes.data()),
             static_cast<std::streamsize>(bytes.size()));
}

inline Bytes read(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

inline void write_zipped(const std::filesystem::path& path, const Bytes& bytes) {
  gzFile file = ::gzopen(path.c_str(), "wb");
  ::gzwrite(file, bytes.data(), static_cast<unsigned>(bytes.size()));
  ::gzclose(file);
}

inline void append_big_endian(Bytes* bytes, std::uint32_t value) {
  for (int shift = 24; shift >= 0; shift -= 8)
    bytes->push_back(static_cast<std::uint8_t>(value >> shift));
}

// An idx file: magic number, sizes, payload.
inline Bytes idx(std::uint32_t magic, const std::vector<std::uint32_t>& sizes,
                 const Bytes& payload) {
  Bytes bytes;
  append_big_endian(&bytes, magic);
  for (const std::uint32_t size : sizes) append_big_endian(&bytes, size);
  bytes.insert(bytes.end(), payload.begin(), payload.end());
  return bytes;
}

// Runs `action`, which must throw an Error with exit code 3 whose one line holds each of `parts`.
inline void expect_bad_file(const std::function<void()>& action,
                            const std::vector<std::string>& parts) {
  try {
    action();
  } catch (const Error& error) {
    const std::string text = error.what();
    EXPECT_EQ(error.code(), ExitCode::bad_file) << text;
    EXPECT_EQ(text.find('\n'), std::string::npos) << "more than one line: " << text;
    for (const auto& part : parts)
      EXPECT_NE(text.find(part), std::string::npos) << "expected '" << part << "' in: " << text;
    return;
  }
  ADD_FAILURE() << "nothing was thrown";
}

}  // namespace cucina::data
