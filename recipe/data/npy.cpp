// The .npy reader: a header that is a Python literal, then bytes.
#include "recipe/data/npy.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstring>
#include <string_view>

#include "core/error.h"
#include "recipe/data/byte_reader.h"
#include "recipe/data/sha256.h"
#include "recipe/data/split.h"

namespace cucina::data {
namespace {

constexpr std::string_view kMagic = "\x93NUMPY";
constexpr std::uint64_t kMostHeader = 1 << 16;
constexpr int kMostClasses = 10'000;

// {'descr': '|u1', 'fortran_order': False, 'shape': (60000, 28, 28), }
class Header {
 public:
  Header(std::string_view text, const std::string& path) : text_(text), path_(path) {}

  void read(NpyArray* array) {
    expect('{');
    bool dtype = false, order = false, shape = false;
    while (!next_is('}')) {
      const std::string key = word();
      expect(':');
      if (key == "descr" && !dtype) {
        dtype = true;
        array->dtype = word();
      } else if (key == "fortran_order" && !order) {
        order = true;
        if (boolean())
          fail(ExitCode::bad_file,
               "{}: is in Fortran's order; save it with numpy.ascontiguousarray", path_);
      } else if (key == "shape" && !shape) {
        shape = true;
        array->shape = tuple();
      } else {
        fail_here();
      }
      if (!next_is('}')) expect(',');
    }
    ++at_;
    skip_spaces();
    if (at_ != text_.size() || !dtype || !order || !shape) fail_here();
  }

 private:
  [[noreturn]] void fail_here() const {
    fail(ExitCode::bad_file,
         "{}: its header is not as NumPy writes it, from character {} on; save it anew with "
         "numpy.save",
         path_, at_);
  }
  void skip_spaces() {
    while (at_ < text_.size() && (text_[at_] == ' ' || text_[at_] == '\n')) ++at_;
  }
  bool next_is(char c) {
    skip_spaces();
    return at_ < text_.size() && text_[at_] == c;
  }
  void expect(char c) {
    if (!next_is(c)) fail_here();
    ++at_;
  }
  std::string word() {
    skip_spaces();
    if (at_ == text_.size() || (text_[at_] != '\'' && text_[at_] != '"')) fail_here();
    const std::size_t end = text_.find(text_[at_], at_ + 1);
    if (end == std::string_view::npos) fail_here();
    const std::string found(text_.substr(at_ + 1, end - at_ - 1));
    at_ = end + 1;
    return found;
  }
  bool boolean() {
    skip_spaces();
    for (const std::string_view each : {"False", "True"})
      if (text_.substr(at_).starts_with(each)) {
        at_ += each.size();
        return each == "True";
      }
    fail_here();
  }
  std::vector<std::int64_t> tuple() {
    std::vector<std::int64_t> sizes;
    expect('(');
    while (!next_is(')')) {
      std::int64_t size = -1;
      const char* end = text_.data() + text_.size();
      const auto [stop, error] = std::from_chars(text_.data() + at_, end, size);
      if (error != std::errc{} || size < 0) fail_here();
      at_ = static_cast<std::size_t>(stop - text_.data());
      sizes.push_back(size);
      if (!next_is(')')) expect(',');
    }
    ++at_;
    return sizes;
  }

  std::string_view text_;
  const std::string& path_;
  std::size_t at_ = 0;
};

// Bytes of an element; 0: not a number that we read.
std::uint64_t element_bytes(const std::string& dtype) {
  if (dtype.size() != 3 || std::string_view("<>|=").find(dtype[0]) == std::string_view::npos ||
      std::string_view("biuf").find(dtype[1]) == std::string_view::npos)
    return 0;
  const char size = dtype[2];
  return size == '1' || size == '2' || size == '4' || size == '8' ? std::uint64_t(size - '0') : 0;
}

std::string shape_text(const NpyArray& array) {
  return fmt::format("({})", fmt::join(array.shape, ", "));
}

struct Pair {
  std::filesystem::path images, labels;
};

// The two files of a split, by either way to name them; empty paths where there are none.
Pair find_pair(const std::filesystem::path& folder, const std::string& split) {
  for (const auto& [x, y] : {std::pair{split + "_images.npy", split + "_labels.npy"},
                             std::pair{"x_" + split + ".npy", "y_" + split + ".npy"}}) {
    const Pair pair{find_in(folder, {x}), find_in(folder, {y})};
    if (pair.images.empty() && pair.labels.empty()) continue;
    if (pair.images.empty() || pair.labels.empty())
      fail(ExitCode::bad_file, "{}: {} is there without {}; put both there", folder.string(),
           pair.images.empty() ? y : x, pair.images.empty() ? x : y);
    return pair;
  }
  return {};
}

std::vector<std::int32_t> labels_of(const NpyArray& array, const std::string& path) {
  const std::uint64_t size = element_bytes(array.dtype);
  const char kind = array.dtype[1];
  if (kind != 'i' && kind != 'u')
    fail(ExitCode::bad_file, "{}: labels of dtype {:?}; save integers, such as int64", path,
         array.dtype);
  const bool swapped = array.dtype[0] == '>';
  std::vector<std::int32_t> labels;
  for (std::size_t at = 0; at < array.bytes.size(); at += size) {
    std::array<std::uint8_t, 8> bytes{};  // little-endian
    for (std::size_t i = 0; i < size; ++i)
      bytes[i] = array.bytes[at + (swapped ? size - 1 - i : i)];
    if (kind == 'i' && (bytes[size - 1] & 0x80) != 0)
      std::fill(bytes.begin() + static_cast<std::ptrdiff_t>(size), bytes.end(), std::uint8_t{0xff});
    std::int64_t value = 0;
    std::memcpy(&value, bytes.data(), sizeof value);
    if (value < 0 || value >= kMostClasses)
      fail(ExitCode::bad_file, "{}: label {} is {}; labels count from 0, and {} is the most", path,
           labels.size(), value, kMostClasses - 1);
    labels.push_back(static_cast<std::int32_t>(value));
  }
  return labels;
}

ImageSet read_pair(const Pair& pair, const Limits& limits, Sha256* sha) {
  const std::string path = pair.images.string();
  NpyArray images = read_npy(pair.images, limits.file_bytes);
  const std::size_t rank = images.shape.size();
  if (images.dtype != "|u1" && images.dtype != "<u1" && images.dtype != "=u1")
    fail(
        ExitCode::bad_file,
        "{}: images of dtype {:?}; save them as uint8, 0 to 255: (255 * x).round().astype('uint8')",
        path, images.dtype);
  if (rank == 4 && images.shape[3] != 1 && images.shape[3] != 3 &&
      (images.shape[1] == 1 || images.shape[1] == 3))
    fail(ExitCode::bad_file,
         "{}: shape {} has the channels first; save x.transpose(0, 2, 3, 1), which is (n, h, w, c)",
         path, shape_text(images));
  if (rank != 3 && !(rank == 4 && (images.shape[3] == 1 || images.shape[3] == 3)))
    fail(ExitCode::bad_file,
         "{}: shape {}; images are (n, h, w) or (n, h, w, c) with 1 or 3 channels", path,
         shape_text(images));
  if (images.bytes.empty())
    fail(ExitCode::bad_file, "{}: shape {} has no images; every size must be at least 1", path,
         shape_text(images));
  const NpyArray labels = read_npy(pair.labels, limits.file_bytes);
  const std::size_t label_rank = labels.shape.size();
  if (label_rank == 0 || label_rank > 2 || (label_rank == 2 && labels.shape[1] != 1) ||
      labels.shape[0] != images.shape[0])
    fail(ExitCode::bad_file, "{}: labels of shape {} for {} images; save one integer for each",
         pair.labels.string(), shape_text(labels), images.shape[0]);
  sha->update(images.bytes.data(), images.bytes.size());
  sha->update(labels.bytes.data(), labels.bytes.size());
  return {.n = images.shape[0],
          .h = images.shape[1],
          .w = images.shape[2],
          .c = rank == 4 ? images.shape[3] : 1,
          .classes = 0,
          .pixels = std::move(images.bytes),
          .labels = labels_of(labels, pair.labels.string())};
}

}  // namespace

NpyArray read_npy(const std::filesystem::path& path, std::uint64_t most_bytes) {
  ByteReader reader(path);
  const auto magic = reader.take(8, "the magic string and version");
  if (!std::equal(kMagic.begin(), kMagic.end(), magic.begin(),
                  [](char a, std::uint8_t b) { return static_cast<std::uint8_t>(a) == b; }))
    fail(ExitCode::bad_file,
         "{}: byte 0: begins with {:02x}, not as .npy files do; save it with numpy.save",
         reader.path(), fmt::join(magic.begin(), magic.begin() + 6, " "));
  const int version = magic[6];
  if (version < 1 || version > 3)
    fail(ExitCode::bad_file, "{}: byte 6: version {} but 1, 2 and 3 are known; save it anew",
         reader.path(), version);
  const auto size_bytes = reader.take(version == 1 ? 2 : 4, "the header's size");
  std::uint64_t size = 0;
  for (std::size_t i = 0; i < size_bytes.size(); ++i) size |= std::uint64_t{size_bytes[i]} << 8 * i;
  if (size > kMostHeader)
    fail(ExitCode::bad_file, "{}: byte 8: a header of {} bytes but {} are allowed; save it anew",
         reader.path(), size, kMostHeader);
  const auto header = reader.take(size, "the header");
  NpyArray array;
  Header({reinterpret_cast<const char*>(header.data()), header.size()}, reader.path()).read(&array);
  std::uint64_t bytes = element_bytes(array.dtype);
  if (bytes == 0)
    fail(ExitCode::bad_file, "{}: dtype {:?} is no plain number; save integers or floats",
         reader.path(), array.dtype);
  bool fits = true;
  for (const std::int64_t each : array.shape)
    fits = fits && multiply(bytes, static_cast<std::uint64_t>(each), &bytes);
  if (!fits || bytes > most_bytes)
    fail(ExitCode::bad_file, "{}: an array of shape {} is more than the {} bytes allowed; split it",
         reader.path(), shape_text(array), most_bytes);
  const std::string what = fmt::format("an array of shape {}", shape_text(array));
  array.bytes = reader.take(bytes, what);
  reader.expect_end(what);
  return array;
}

bool has_npy(const std::filesystem::path& folder) {
  return !find_in(folder, {"train_images.npy", "train_labels.npy", "x_train.npy", "y_train.npy"})
              .empty();
}

Dataset load_npy(const std::filesystem::path& folder, const Limits& limits) {
  const Pair train = find_pair(folder, "train");
  const Pair validation = find_pair(folder, "val"), test = find_pair(folder, "test");
  Sha256 sha;
  Dataset set;
  set.name = std::filesystem::absolute(folder / ".").parent_path().filename().string();
  set.train = read_pair(train, limits, &sha);
  const ImageSet& first = set.train;
  const int classes = 1 + *std::max_element(first.labels.begin(), first.labels.end());
  set.train.classes = classes;
  for (const auto& [pair, split] :
       {std::pair{&validation, &set.validation}, std::pair{&test, &set.test}}) {
    if (pair->images.empty()) continue;
    *split = read_pair(*pair, limits, &sha);
    const std::string path = pair->images.string();
    if (split->h != first.h || split->w != first.w || split->c != first.c)
      fail(ExitCode::bad_file, "{}: images of {}x{}x{} but train has {}x{}x{}; make them alike",
           path, split->h, split->w, split->c, first.h, first.w, first.c);
    const auto wrong = std::find_if(split->labels.begin(), split->labels.end(),
                                    [&](std::int32_t label) { return label >= classes; });
    if (wrong != split->labels.end())
      fail(ExitCode::bad_file, "{}: label {} is {} but train has 0 to {} alone; split them anew",
           pair->labels.string(), wrong - split->labels.begin(), *wrong, classes - 1);
    split->classes = classes;
  }
  for (int k = 0; k < classes; ++k) set.class_names.push_back(std::to_string(k));
  hold_out_missing(&set, !validation.images.empty(), !test.images.empty(), limits.split_seed);
  set.sha256 = sha.hex();
  return set;
}

}  // namespace cucina::data
