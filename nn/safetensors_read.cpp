// The safetensors reader: a header parser that stops at the first wrong byte, then one pass over
// the arrays' places.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cerrno>
#include <cstring>
#include <iterator>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <utility>

#include "core/error.h"
#include "nn/safetensors.h"

namespace cucina::nn {
namespace {

static_assert(std::endian::native == std::endian::little, "safetensors are little-endian");

constexpr std::uint64_t kPrefix = 8;  // bytes of the header's length

constexpr std::array<std::pair<std::string_view, std::uint64_t>, 15> kDTypeSizes{{
    {"BOOL", 1},
    {"U8", 1},
    {"I8", 1},
    {"F8_E5M2", 1},
    {"F8_E4M3", 1},
    {"I16", 2},
    {"U16", 2},
    {"F16", 2},
    {"BF16", 2},
    {"I32", 4},
    {"U32", 4},
    {"F32", 4},
    {"F64", 8},
    {"I64", 8},
    {"U64", 8},
}};

// Names come from the file: shorten them and keep the sentence on one line.
std::string shown(std::string_view text) {
  std::string out;
  for (const char c : text.substr(0, 60)) out += static_cast<unsigned char>(c) < 0x20 ? '?' : c;
  return text.size() > 60 ? out + "..." : out;
}

// Reads the header's bytes one by one and tells the parser's place, which nlohmann's callbacks do
// not.
class CountingIterator {
 public:
  using iterator_category = std::input_iterator_tag;
  using value_type = char;
  using difference_type = std::ptrdiff_t;
  using pointer = const char*;
  using reference = const char&;

  CountingIterator(const char* at, std::uint64_t* consumed) : at_(at), consumed_(consumed) {}
  reference operator*() const { return *at_; }
  CountingIterator& operator++() {
    ++at_;
    ++*consumed_;
    return *this;
  }
  CountingIterator operator++(int) {
    CountingIterator before = *this;
    ++*this;
    return before;
  }
  bool operator==(const CountingIterator& other) const { return at_ == other.at_; }
  bool operator!=(const CountingIterator& other) const { return at_ != other.at_; }

 private:
  const char* at_;
  std::uint64_t* consumed_;
};

// Receives the header's tokens. Its grammar has a fixed depth, so a place suffices as state:
//   { "__metadata__": {"key": "value"}, "name": {"dtype": "F32", "shape": [2], "data_offsets": [0,
//   8]} }
class HeaderParser : public nlohmann::json_sax<nlohmann::json> {
 public:
  HeaderParser(Safetensors* file, const std::uint64_t* consumed)
      : file_(file), consumed_(consumed) {}

  bool start_object(std::size_t) override {
    if (place_ == Place::before) return enter(Place::top);
    if (place_ != Place::top) wrong("an object");
    if (key_ == "__metadata__") return enter(Place::metadata);
    if (file_->tensors.size() >= kMaxTensors)
      refuse(fmt::format("more than {} arrays; split the file", kMaxTensors));
    file_->tensors.push_back({.name = key_, .dtype = {}, .shape = {}});
    offsets_.clear();
    field_keys_.clear();
    return enter(Place::tensor);
  }

  bool end_object() override {
    if (place_ == Place::tensor) {
      for (const char* field : {"dtype", "shape", "data_offsets"}) {
        if (field_keys_.count(field) == 0)
          refuse(fmt::format("array '{}' has no {}", shown(file_->tensors.back().name), field));
      }
      file_->tensors.back().begin = offsets_[0];
      file_->tensors.back().end = offsets_[1];
    }
    return enter(place_ == Place::top ? Place::after : Place::top);
  }

  bool start_array(std::size_t) override {
    if (place_ == Place::tensor && key_ == "shape") return enter(Place::shape);
    if (place_ == Place::tensor && key_ == "data_offsets") return enter(Place::offsets);
    wrong("a list");
  }

  bool end_array() override {
    if (place_ == Place::offsets && offsets_.size() != 2)
      refuse(fmt::format("data_offsets of '{}' holds {} numbers instead of 2",
                         shown(file_->tensors.back().name), offsets_.size()));
    return enter(Place::tensor);
  }

  bool key(std::string& key) override {
    key_ = key;
    bool fresh = true;
    if (place_ == Place::top) {
      fresh = names_.insert(key).second;
      check_name();
    } else if (place_ == Place::metadata) {
      fresh = file_->metadata.emplace(key, "").second;
    } else {
      fresh = field_keys_.insert(key).second;
      if (key != "dtype" && key != "shape" && key != "data_offsets")
        refuse(fmt::format("array '{}' has an unknown key '{}'", shown(file_->tensors.back().name),
                           shown(key)));
    }
    if (!fresh) refuse(fmt::format("key '{}' stands there twice", shown(key)));
    return true;
  }

  bool string(std::string& value) override {
    if (place_ == Place::metadata) {
      file_->metadata[key_] = value;
      return true;
    }
    if (place_ != Place::tensor || key_ != "dtype") wrong("a string");
    if (stored_size(value) == 0) refuse(fmt::format("unknown dtype '{}'", shown(value)));
    file_->tensors.back().dtype = value;
    return true;
  }

  bool number_unsigned(std::uint64_t value) override {
    if (place_ == Place::shape) {
      std::vector<std::int64_t>& shape = file_->tensors.back().shape;
      if (!std::in_range<std::int64_t>(value)) refuse(fmt::format("size {} is too large", value));
      if (shape.size() >= kMaxRank)
        refuse(fmt::format("array '{}' has more than {} dimensions",
                           shown(file_->tensors.back().name), kMaxRank));
      shape.push_back(static_cast<std::int64_t>(value));
      return true;
    }
    if (place_ == Place::offsets && offsets_.size() < 2) {
      offsets_.push_back(value);
      return true;
    }
    wrong(fmt::format("the number {}", value));
  }

  bool number_integer(std::int64_t value) override {
    wrong(fmt::format("the negative number {}", value));
  }
  bool number_float(double, const std::string& text) override {
    wrong(fmt::format("the number {}, which is no 64-bit integer", shown(text)));
  }
  bool null() override { wrong("null"); }
  bool boolean(bool) override { wrong("a truth value"); }
  bool binary(binary_t&) override { wrong("binary data"); }

  bool parse_error(std::size_t position, const std::string&,
                   const nlohmann::detail::exception&) override {
    refuse_at(kPrefix + (position == 0 ? 0 : position - 1),
              "the header is not well-formed JSON in UTF-8");
  }

 private:
  enum class Place : std::uint8_t { before, top, metadata, tensor, shape, offsets, after };

  bool enter(Place place) {
    place_ = place;
    return true;
  }

  void check_name() const {
    if (key_.empty()) refuse("an array has an empty name");
    if (std::any_of(key_.begin(), key_.end(),
                    [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; }))
      refuse(fmt::format("the name '{}' holds a control character", shown(key_)));
    std::string_view rest = key_;
    while (true) {
      const std::size_t slash = rest.find_first_of("/\\");
      if (rest.substr(0, slash) == "..")
        refuse(fmt::format("the name '{}' climbs out of its folder", shown(key_)));
      if (slash == std::string_view::npos) return;
      rest.remove_prefix(slash + 1);
    }
  }

  [[noreturn]] void wrong(const std::string& what) const {
    refuse(key_.empty() ? fmt::format("{} where none belongs", what)
                        : fmt::format("{} where none belongs, at key '{}'", what, shown(key_)));
  }
  [[noreturn]] void refuse(const std::string& text) const {
    refuse_at(kPrefix + (*consumed_ == 0 ? 0 : *consumed_ - 1), text);
  }
  [[noreturn]] void refuse_at(std::uint64_t offset, const std::string& text) const {
    fail(ExitCode::bad_file,
         "{}: byte {}: {}; it is damaged or no safetensors file: write it again", file_->path,
         offset, text);
  }

  Safetensors* file_;
  const std::uint64_t* consumed_;
  Place place_ = Place::before;
  std::string key_;
  std::set<std::string, std::less<>> names_;
  std::set<std::string, std::less<>> field_keys_;
  std::vector<std::uint64_t> offsets_;
};

class File {
 public:
  explicit File(const std::string& path) : path_(path) {
    descriptor_ = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
    struct stat status {};
    if (descriptor_ < 0 || ::fstat(descriptor_, &status) != 0)
      fail(ExitCode::bad_file, "{}: byte 0: cannot be opened ({}); check the path", path,
           std::strerror(errno));
    if (!S_ISREG(status.st_mode)) {
      ::close(descriptor_);
      fail(ExitCode::bad_file, "{}: byte 0: is not a file; give the safetensors file itself", path);
    }
    size_ = static_cast<std::uint64_t>(status.st_size);
  }
  ~File() { ::close(descriptor_); }
  File(const File&) = delete;
  File& operator=(const File&) = delete;

  std::uint64_t size() const { return size_; }

  void read(void* to, std::uint64_t bytes) {
    auto* next = static_cast<char*>(to);
    while (bytes > 0) {
      const ssize_t got = ::read(descriptor_, next, bytes);
      if (got < 0 && errno == EINTR) continue;
      if (got <= 0)
        fail(ExitCode::bad_file, "{}: byte {}: cannot be read ({}); check the disk", path_, offset_,
             got == 0 ? "it became shorter" : std::strerror(errno));
      next += got;
      offset_ += static_cast<std::uint64_t>(got);
      bytes -= static_cast<std::uint64_t>(got);
    }
  }

 private:
  std::string path_;
  int descriptor_ = -1;
  std::uint64_t size_ = 0;
  std::uint64_t offset_ = 0;
};

// Bytes of a tensor as its shape says, or nothing when that does not fit 64 bits.
std::optional<std::uint64_t> bytes_of(const StoredTensor& tensor) {
  std::uint64_t bytes = stored_size(tensor.dtype);
  const bool empty = std::find(tensor.shape.begin(), tensor.shape.end(), 0) != tensor.shape.end();
  for (const std::int64_t size : tensor.shape) {
    if (__builtin_mul_overflow(bytes, static_cast<std::uint64_t>(size), &bytes) && !empty)
      return std::nullopt;
  }
  return empty ? 0 : bytes;
}

// The arrays must cover [0, data_bytes) one after the other, without hole or overlap.
void check_places(Safetensors* file, std::uint64_t data_start, std::uint64_t data_bytes) {
  std::stable_sort(file->tensors.begin(), file->tensors.end(),
                   [](const StoredTensor& a, const StoredTensor& b) {
                     return std::pair(a.begin, a.end) < std::pair(b.begin, b.end);
                   });
  std::uint64_t covered = 0;
  for (const StoredTensor& tensor : file->tensors) {
    const auto refuse = [&](std::uint64_t offset, const std::string& text) {
      fail(ExitCode::bad_file, "{}: byte {}: array '{}' {}; the file is damaged: write it again",
           file->path, offset, shown(tensor.name), text);
    };
    const auto at = [&](std::uint64_t offset) { return data_start + std::min(offset, data_bytes); };
    if (tensor.begin > tensor.end)
      refuse(at(tensor.end), fmt::format("begins at {} but ends at {}", tensor.begin, tensor.end));
    if (tensor.end > data_bytes)
      refuse(at(data_bytes), fmt::format("ends at {} but only {} bytes of data follow the header",
                                         tensor.end, data_bytes));
    const auto bytes = bytes_of(tensor);
    if (!bytes) refuse(at(tensor.begin), "has more bytes than 64 bits count");
    if (*bytes != tensor.end - tensor.begin)
      refuse(at(tensor.begin), fmt::format("needs {} bytes for its shape but has {}", *bytes,
                                           tensor.end - tensor.begin));
    if (tensor.begin != covered)
      refuse(at(std::min(covered, tensor.begin)),
             fmt::format("begins at {} but the one before ends at {}", tensor.begin, covered));
    covered = tensor.end;
  }
  if (covered != data_bytes)
    fail(ExitCode::bad_file,
         "{}: byte {}: {} bytes follow the last array; the file is damaged: write it again",
         file->path, data_start + covered, data_bytes - covered);
}

}  // namespace

std::uint64_t stored_size(std::string_view dtype) {
  for (const auto& [name, size] : kDTypeSizes) {
    if (name == dtype) return size;
  }
  return 0;
}

const StoredTensor* Safetensors::find(std::string_view name) const {
  const auto found = std::find_if(tensors.begin(), tensors.end(),
                                  [&](const StoredTensor& tensor) { return tensor.name == name; });
  return found == tensors.end() ? nullptr : &*found;
}

std::span<const std::uint8_t> Safetensors::bytes(const StoredTensor& tensor) const {
  return std::span(data).subspan(tensor.begin, tensor.end - tensor.begin);
}

Safetensors read_safetensors(const std::filesystem::path& path) {
  Safetensors result;
  result.path = path.string();
  File file(result.path);
  if (file.size() < kPrefix)
    fail(ExitCode::bad_file,
         "{}: byte {}: the file ends before the header's length (8 bytes); write it again",
         result.path, file.size());
  std::uint64_t header_bytes = 0;
  file.read(&header_bytes, kPrefix);
  if (header_bytes > kMaxHeaderBytes)
    fail(ExitCode::bad_file,
         "{}: byte 0: a header of {} bytes is more than the {} allowed; it is no safetensors file",
         result.path, header_bytes, kMaxHeaderBytes);
  if (header_bytes > file.size() - kPrefix)
    fail(ExitCode::bad_file,
         "{}: byte 0: a header of {} bytes is announced but {} bytes follow; the file is truncated",
         result.path, header_bytes, file.size() - kPrefix);
  std::vector<char> header(header_bytes);
  file.read(header.data(), header_bytes);
  if (header_bytes < 2 || header[0] != '{')
    fail(ExitCode::bad_file,
         "{}: byte 8: the header does not begin with '{{'; it is no safetensors "
         "file",
         result.path);

  // nlohmann takes NUL for the end of its input and would not look at what follows.
  const auto nul = std::find(header.begin(), header.end(), '\0');
  if (nul != header.end())
    fail(ExitCode::bad_file, "{}: byte {}: a NUL byte in the header; write the file again",
         result.path, kPrefix + static_cast<std::uint64_t>(nul - header.begin()));

  std::uint64_t consumed = 0;
  HeaderParser parser(&result, &consumed);
  nlohmann::json::sax_parse(CountingIterator(header.data(), &consumed),
                            CountingIterator(header.data() + header.size(), &consumed), &parser);
  const std::uint64_t data_start = kPrefix + header_bytes;
  const std::uint64_t data_bytes = file.size() - data_start;
  check_places(&result, data_start, data_bytes);
  result.data.resize(data_bytes);
  file.read(result.data.data(), data_bytes);
  return result;
}

}  // namespace cucina::nn
