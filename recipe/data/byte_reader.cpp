// Files, plain or gzip, through zlib; all errors in one place.
#include "recipe/data/byte_reader.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <limits>

#include "core/error.h"

namespace cucina::data {
namespace {

constexpr std::uint64_t kChunk = std::uint64_t{1} << 20;

// Deflate expands at most 1032 to 1 (zlib's technical notes); the slack covers tiny files.
constexpr std::uint64_t kDeflateRatio = 1032;

gzFile handle(void* file) { return static_cast<gzFile>(file); }

}  // namespace

ByteReader::ByteReader(const std::filesystem::path& path) : path_(path.string()) {
  const int descriptor = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (descriptor < 0)
    fail(ExitCode::bad_file, "{}: cannot be opened ({}); check the path and its permissions", path_,
         std::strerror(errno));
  struct stat status {};
  if (::fstat(descriptor, &status) != 0 || !S_ISREG(status.st_mode)) {
    ::close(descriptor);
    fail(ExitCode::bad_file, "{}: is not a regular file; put the data file itself there", path_);
  }
  file_bytes_ = static_cast<std::uint64_t>(status.st_size);
  file_ = ::gzdopen(descriptor, "rb");
  if (file_ == nullptr) {
    ::close(descriptor);
    fail(ExitCode::no_resources, "{}: zlib has no memory to read it", path_);
  }
  ::gzbuffer(handle(file_), 1 << 17);
  zipped_ = ::gzdirect(handle(file_)) == 0;
}

ByteReader::~ByteReader() { ::gzclose(handle(file_)); }

void ByteReader::fail_damaged(const std::string& cause) const {
  fail(ExitCode::bad_file, "{}: byte {} of its contents cannot be read ({}); fetch the file again",
       path_, offset_, cause);
}

std::size_t ByteReader::append(std::vector<std::uint8_t>* to, std::uint64_t size) {
  const std::size_t before = to->size();
  std::uint64_t left = size;
  while (left > 0) {
    const auto chunk = static_cast<std::size_t>(std::min(left, kChunk));
    const std::size_t used = to->size();
    to->resize(used + chunk);
    const int got = ::gzread(handle(file_), to->data() + used, static_cast<unsigned>(chunk));
    to->resize(used + static_cast<std::size_t>(std::max(got, 0)));
    offset_ += static_cast<std::uint64_t>(std::max(got, 0));
    left -= static_cast<std::uint64_t>(std::max(got, 0));
    int code = Z_OK;
    const char* text = ::gzerror(handle(file_), &code);
    if (got < 0 || (code != Z_OK && code != Z_STREAM_END))
      fail_damaged(code == Z_BUF_ERROR ? std::string("its gzip stream ends too early")
                   : code == Z_ERRNO   ? std::string(std::strerror(errno))
                                       : std::string(text));
    if (static_cast<std::size_t>(got) < chunk) break;
  }
  return to->size() - before;
}

std::vector<std::uint8_t> ByteReader::take(std::uint64_t size, const std::string& what) {
  const std::uint64_t start = offset_;
  const std::uint64_t limit = size_at_most();
  const std::uint64_t most = limit - std::min(limit, start);
  std::vector<std::uint8_t> bytes;
  if (size <= most && !zipped_) bytes.reserve(static_cast<std::size_t>(size));
  const bool possible = size <= most;
  const std::uint64_t got = possible ? append(&bytes, size) : most;
  if (got != size)
    fail(ExitCode::bad_file,
         "{}: byte {}: {} needs {} bytes but only {}{} follow; the file is cut short or its header "
         "is "
         "wrong: fetch it again",
         path_, start, what, size, possible || !zipped_ ? "" : "at most ", got);
  return bytes;
}

void ByteReader::expect_end(const std::string& what) {
  const std::uint64_t end = offset_;
  std::vector<std::uint8_t> more;
  if (append(&more, 1) == 0) return;
  if (zipped_)
    fail(ExitCode::bad_file,
         "{}: byte {}: {} ends here but unzipped bytes follow; its header is wrong: fetch it again",
         path_, end, what);
  fail(ExitCode::bad_file,
       "{}: byte {}: {} ends here but the file has {} bytes; its header is wrong: fetch it again",
       path_, end, what, file_bytes_);
}

std::uint64_t ByteReader::size_at_most() const {
  if (!zipped_) return file_bytes_;
  std::uint64_t most = 0;
  return multiply(file_bytes_, kDeflateRatio, &most) ? most
                                                     : std::numeric_limits<std::uint64_t>::max();
}

std::filesystem::path find_in(const std::filesystem::path& folder,
                              const std::vector<std::string>& names) {
  for (const auto& name : names)
    for (const char* ending : {"", ".gz"}) {
      std::error_code ignored;
      const auto path = folder / (name + ending);
      if (std::filesystem::exists(path, ignored)) return path;
    }
  return {};
}

bool multiply(std::uint64_t a, std::uint64_t b, std::uint64_t* product) {
  return !__builtin_mul_overflow(a, b, product);
}

}  // namespace cucina::data
