// Reads a file from front to back, unzipping it when its contents begin like gzip.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace cucina::data {

// Every failure (absent, unreadable, damaged gzip) is an Error with exit code 3, the path and the
// offset.
class ByteReader {
 public:
  explicit ByteReader(const std::filesystem::path& path);
  ~ByteReader();
  ByteReader(const ByteReader&) = delete;
  ByteReader& operator=(const ByteReader&) = delete;

  // Appends up to `size` bytes to `to`; fewer only at the end of the file. Memory grows with the
  // bytes that are really there, never with `size`, which may come from a header nobody has
  // checked.
  std::size_t append(std::vector<std::uint8_t>* to, std::uint64_t size);

  // Exactly `size` bytes, which `what` names in the error when the file ends before.
  std::vector<std::uint8_t> take(std::uint64_t size, const std::string& what);

  // Throws when any byte is left; `what` names what should have been the last.
  void expect_end(const std::string& what);

  // Where the next byte comes from, counted in the unzipped contents.
  std::uint64_t offset() const { return offset_; }
  // The size of the contents: exact for a plain file; for gzip the most that deflate can expand to.
  std::uint64_t size_at_most() const;
  bool zipped() const { return zipped_; }
  const std::string& path() const { return path_; }

 private:
  [[noreturn]] void fail_damaged(const std::string& cause) const;

  std::string path_;
  void* file_ = nullptr;  // a gzFile, which also reads plain files
  bool zipped_ = false;
  std::uint64_t file_bytes_ = 0;
  std::uint64_t offset_ = 0;
};

// The first of `names`, each also tried with ".gz", that is in `folder`; an empty path when none
// is.
std::filesystem::path find_in(const std::filesystem::path& folder,
                              const std::vector<std::string>& names);

// a * b, or false when it does not fit.
bool multiply(std::uint64_t a, std::uint64_t b, std::uint64_t* product);

}  // namespace cucina::data
