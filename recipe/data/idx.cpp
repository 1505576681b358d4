// The idx reader: big-endian header, then bytes; every size is checked before memory is taken.
#include "recipe/data/idx.h"

#include <algorithm>
#include <array>
#include <string>
#include <utility>
#include <vector>

#include "core/error.h"
#include "recipe/data/byte_reader.h"
#include "recipe/data/sha256.h"

namespace cucina::data {
namespace {

constexpr int kClasses = 10;
constexpr std::uint32_t kImagesMagic = 0x00000803;  // unsigned bytes, three dimensions
constexpr std::uint32_t kLabelsMagic = 0x00000801;  // unsigned bytes, one dimension
constexpr std::int64_t kValidationShare = 12;

constexpr std::string_view kMnistSha256 =
    "b2d8f5bf39174ee5ffeefa97e42d673c35432b411bb5d1f74fbbeddae7f1690a";
constexpr std::string_view kFashionSha256 =
    "14410854cf7a289477dcfc7df3f8ec24741e281cdcc425ede0d9a748ca630214";

std::vector<std::string> spellings(const std::string& stem, int dimensions) {
  return {stem + "-idx" + std::to_string(dimensions) + "-ubyte",
          stem + ".idx" + std::to_string(dimensions) + "-ubyte"};
}

const std::array<std::vector<std::string>, 4>& canonical_names() {
  static const std::array<std::vector<std::string>, 4> names = {
      spellings("train-images", 3), spellings("train-labels", 1), spellings("t10k-images", 3),
      spellings("t10k-labels", 1)};
  return names;
}

std::uint32_t big_endian(const std::vector<std::uint8_t>& bytes, std::size_t at) {
  return std::uint32_t{bytes[at]} << 24 | std::uint32_t{bytes[at + 1]} << 16 |
         std::uint32_t{bytes[at + 2]} << 8 | std::uint32_t{bytes[at + 3]};
}

// Reads the magic number and the dimensions; `what` is "images" or "labels".
std::vector<std::uint32_t> read_header(ByteReader* reader, std::uint32_t magic, const char* what,
                                       Sha256* sha) {
  const auto first = reader->take(4, "the magic number");
  const std::uint32_t found = big_endian(first, 0);
  if (found != magic) {
    const char* likely = found == kImagesMagic   ? " (that is a file of images)"
                         : found == kLabelsMagic ? " (that is a file of labels)"
                                                 : "";
    fail(ExitCode::bad_file,
         "{}: byte 0: magic number 0x{:08x}{} but idx {} start with 0x{:08x}; put the right file "
         "there",
         reader->path(), found, likely, what, magic);
  }
  const std::uint64_t dimensions = magic & 0xff;
  const auto sizes = reader->take(4 * dimensions, "the header");
  sha->update(first.data(), first.size());
  sha->update(sizes.data(), sizes.size());
  std::vector<std::uint32_t> values;
  for (std::size_t i = 0; i < dimensions; ++i) values.push_back(big_endian(sizes, 4 * i));
  return values;
}

struct Images {
  std::uint32_t n = 0;
  std::uint32_t h = 0;
  std::uint32_t w = 0;
  std::vector<std::uint8_t> pixels;
};

Images read_images(const std::filesystem::path& path, const Limits& limits, Sha256* sha) {
  ByteReader reader(path);
  const auto size = read_header(&reader, kImagesMagic, "images", sha);
  Images images{.n = size[0], .h = size[1], .w = size[2], .pixels = {}};
  if (images.n == 0 || images.h == 0 || images.w == 0)
    fail(ExitCode::bad_file,
         "{}: byte 4: the header says {} images of {}x{}; every size must be at least 1: fetch the "
         "file again",
         reader.path(), images.n, images.h, images.w);
  std::uint64_t bytes = 0;
  const bool fits = multiply(std::uint64_t{images.n} * images.h, images.w, &bytes);
  if (!fits || bytes > limits.file_bytes)
    fail(ExitCode::bad_file,
         "{}: byte 4: the header says {} images of {}x{}, more than the {} bytes allowed; the "
         "header is "
         "wrong: fetch the file again",
         reader.path(), images.n, images.h, images.w, limits.file_bytes);
  const std::string what = fmt::format("{} images of {}x{}", images.n, images.h, images.w);
  images.pixels = reader.take(bytes, what);
  reader.expect_end(what);
  sha->update(images.pixels.data(), images.pixels.size());
  return images;
}

std::vector<std::uint8_t> read_labels(const std::filesystem::path& path, const Images& images,
                                      const std::string& images_path, Sha256* sha) {
  ByteReader reader(path);
  const std::uint32_t count = read_header(&reader, kLabelsMagic, "labels", sha)[0];
  if (count != images.n)
    fail(ExitCode::bad_file,
         "{}: byte 4: the header says {} labels but {} holds {} images; take both from the same "
         "source",
         reader.path(), count, images_path, images.n);
  const std::string what = fmt::format("{} labels", count);
  auto labels = reader.take(count, what);
  reader.expect_end(what);
  const auto wrong =
      std::find_if(labels.begin(), labels.end(), [](int v) { return v >= kClasses; });
  if (wrong != labels.end())
    fail(ExitCode::bad_file,
         "{}: byte {}: label {} is outside 0..{}; the labels are damaged or of another set: fetch "
         "them again",
         reader.path(), 8 + (wrong - labels.begin()), *wrong, kClasses - 1);
  sha->update(labels.data(), labels.size());
  return labels;
}

ImageSet read_split(const std::filesystem::path& images_path,
                    const std::filesystem::path& labels_path, const Limits& limits, Sha256* sha) {
  Images images = read_images(images_path, limits, sha);
  const auto labels = read_labels(labels_path, images, images_path.string(), sha);
  return {.n = images.n,
          .h = images.h,
          .w = images.w,
          .c = 1,
          .classes = kClasses,
          .pixels = std::move(images.pixels),
          .labels = {labels.begin(), labels.end()}};
}

}  // namespace

bool has_idx(const std::filesystem::path& folder) {
  return std::any_of(canonical_names().begin(), canonical_names().end(),
                     [&](const auto& names) { return !find_in(folder, names).empty(); });
}

Dataset load_idx(const std::filesystem::path& folder, const Limits& limits) {
  std::array<std::filesystem::path, 4> paths;
  for (std::size_t i = 0; i < paths.size(); ++i) {
    const auto& names = canonical_names()[i];
    paths[i] = find_in(folder, names);
    if (paths[i].empty())
      fail(ExitCode::bad_file,
           "{}: neither {} nor {} is there, plain or with .gz; put one of them there",
           folder.string(), names[0], names[1]);
  }
  Sha256 sha;
  Dataset set;
  ImageSet train = read_split(paths[0], paths[1], limits, &sha);
  set.test = read_split(paths[2], paths[3], limits, &sha);
  if (train.h != set.test.h || train.w != set.test.w)
    fail(ExitCode::bad_file,
         "{}: byte 8: test images are {}x{} but train images are {}x{}; take both from the same "
         "source",
         paths[2].string(), set.test.h, set.test.w, train.h, train.w);
  if (train.n < 2)
    fail(ExitCode::bad_file,
         "{}: byte 4: holds {} image but train and validation need 2; add images",
         paths[0].string(), train.n);
  const std::int64_t validation = std::max<std::int64_t>(1, train.n / kValidationShare);
  auto [kept, held_out] = hold_out(train, validation, limits.split_seed);
  set.train = std::move(kept);
  set.validation = std::move(held_out);
  set.sha256 = sha.hex();
  set.name = set.sha256 == kMnistSha256 ? "mnist"
             : set.sha256 == kFashionSha256
                 ? "fashion-mnist"
                 : std::filesystem::absolute(folder / ".").parent_path().filename().string();
  set.class_names = {"0", "1", "2", "3", "4", "5", "6", "7", "8", "9"};
  if (set.sha256 == kFashionSha256)
    set.class_names = {"T-shirt/top", "Trouser", "Pullover", "Dress", "Coat",
                       "Sandal",      "Shirt",   "Sneaker",  "Bag",   "Ankle boot"};
  return set;
}

}  // namespace cucina::data
