// The reader of both: rows of labels and three planes become (n, h, w, c).
#include "recipe/data/cifar.h"

#include <algorithm>
#include <sstream>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "core/error.h"
#include "recipe/data/byte_reader.h"
#include "recipe/data/sha256.h"

namespace cucina::data {
namespace {

constexpr std::int64_t kSide = 32;
constexpr std::int64_t kPlane = kSide * kSide;
constexpr std::int64_t kChannels = 3;
// A row is its labels, of which the last counts, and an image.
struct Format {
  const char* name;
  std::int64_t labels;
  int classes;
  std::int64_t row() const { return labels + kChannels * kPlane; }
};
constexpr Format kCifar10{"CIFAR-10 batch", 1, 10};
constexpr Format kCifar100{"CIFAR-100 file", 2, 100};
constexpr int kTrainBatches = 5;
constexpr std::int64_t kValidationShare = 10;

std::vector<std::string> names() {
  std::vector<std::string> all;
  for (int i = 1; i <= kTrainBatches; ++i)
    all.push_back("data_batch_" + std::to_string(i) + ".bin");
  all.emplace_back("test_batch.bin");
  return all;
}

// Appends the rows of one file to `set`.
void read_batch(const std::filesystem::path& path, const Format& format, const Limits& limits,
                ImageSet* set, Sha256* sha) {
  ByteReader reader(path);
  if (!reader.zipped() && reader.size_at_most() > limits.file_bytes)
    fail(ExitCode::bad_file, "{}: byte 0: the file has {} bytes but {} are allowed; put a {} there",
         path.string(), reader.size_at_most(), limits.file_bytes, format.name);
  std::vector<std::uint8_t> bytes;
  reader.append(&bytes, limits.file_bytes);
  const auto size = static_cast<std::int64_t>(bytes.size());
  if (size == 0)
    fail(ExitCode::bad_file, "{}: byte 0: the file is empty; fetch it again", path.string());
  const std::int64_t row_bytes = format.row();
  if (size % row_bytes != 0)
    fail(ExitCode::bad_file,
         "{}: byte {}: the last row has {} of {} bytes; the file is cut short or no {}: fetch it "
         "again",
         path.string(), size / row_bytes * row_bytes, size % row_bytes, row_bytes, format.name);
  reader.expect_end(fmt::format("the {} bytes allowed", limits.file_bytes));
  sha->update(bytes.data(), bytes.size());

  const std::int64_t rows = size / row_bytes;
  const std::size_t before = set->pixels.size();
  set->pixels.resize(before + static_cast<std::size_t>(rows * kPlane * kChannels));
  std::uint8_t* to = set->pixels.data() + before;
  for (std::int64_t row = 0; row < rows; ++row) {
    const std::uint8_t* label = bytes.data() + row * row_bytes + format.labels - 1;
    if (*label >= format.classes)
      fail(ExitCode::bad_file,
           "{}: byte {}: label {} is outside 0..{}; the file is damaged: fetch it again",
           path.string(), label - bytes.data(), *label, format.classes - 1);
    set->labels.push_back(*label);
    const std::uint8_t* planes = label + 1;
    for (std::int64_t i = 0; i < kPlane; ++i)
      for (std::int64_t c = 0; c < kChannels; ++c) *to++ = planes[c * kPlane + i];
  }
  set->n += rows;
}

ImageSet none(const Format& format) {
  return {.n = 0,
          .h = kSide,
          .w = kSide,
          .c = kChannels,
          .classes = format.classes,
          .pixels = {},
          .labels = {}};
}

void hold_out_validation(const ImageSet& train, const Limits& limits, Dataset* set) {
  const std::int64_t size = std::max<std::int64_t>(1, train.n / kValidationShare);
  auto [kept, held_out] = hold_out(train, size, limits.split_seed);
  set->train = std::move(kept);
  set->validation = std::move(held_out);
}

// The words of a file, one on each line; "0", "1", ... where there is none.
std::vector<std::string> class_names(const std::filesystem::path& path, int classes) {
  std::vector<std::string> names;
  std::error_code ignored;
  if (!std::filesystem::exists(path, ignored)) {
    for (int k = 0; k < classes; ++k) names.push_back(std::to_string(k));
    return names;
  }
  constexpr std::uint64_t kMostBytes = 1 << 16;
  ByteReader reader(path);
  std::vector<std::uint8_t> bytes;
  reader.append(&bytes, kMostBytes);
  std::istringstream text(std::string(bytes.begin(), bytes.end()));
  for (std::string name; text >> name;) names.push_back(name);
  if (static_cast<int>(names.size()) != classes)
    fail(ExitCode::bad_file, "{}: holds {} names but there are {} classes; fetch it again",
         path.string(), names.size(), classes);
  return names;
}

}  // namespace

bool has_cifar(const std::filesystem::path& folder) { return !find_in(folder, names()).empty(); }

Dataset load_cifar(const std::filesystem::path& folder, const Limits& limits) {
  std::vector<std::filesystem::path> paths;
  for (const auto& name : names()) {
    paths.push_back(find_in(folder, {name}));
    if (paths.back().empty())
      fail(ExitCode::bad_file,
           "{}: {} is not there; cifar-10-batches-bin has data_batch_1.bin to "
           "data_batch_5.bin and test_batch.bin: put all six there",
           folder.string(), name);
  }
  Sha256 sha;
  ImageSet train = none(kCifar10);
  Dataset set;
  set.test = none(kCifar10);
  for (int i = 0; i < kTrainBatches; ++i)
    read_batch(paths[static_cast<std::size_t>(i)], kCifar10, limits, &train, &sha);
  read_batch(paths[kTrainBatches], kCifar10, limits, &set.test, &sha);
  hold_out_validation(train, limits, &set);
  set.sha256 = sha.hex();
  set.name = "cifar10";
  set.class_names = {"airplane", "automobile", "bird",  "cat",  "deer",
                     "dog",      "frog",       "horse", "ship", "truck"};
  return set;
}

bool has_cifar100(const std::filesystem::path& folder) {
  return !find_in(folder, {"train.bin", "test.bin"}).empty();
}

Dataset load_cifar100(const std::filesystem::path& folder, const Limits& limits) {
  const auto path = [&](const std::string& name) {
    const auto found = find_in(folder, {name});
    if (found.empty())
      fail(ExitCode::bad_file,
           "{}: {} is not there; cifar-100-binary has train.bin and test.bin: put both there",
           folder.string(), name);
    return found;
  };
  const auto train_path = path("train.bin"), test_path = path("test.bin");
  Sha256 sha;
  ImageSet train = none(kCifar100);
  Dataset set;
  set.test = none(kCifar100);
  read_batch(train_path, kCifar100, limits, &train, &sha);
  read_batch(test_path, kCifar100, limits, &set.test, &sha);
  hold_out_validation(train, limits, &set);
  set.sha256 = sha.hex();
  set.name = "cifar100";
  set.class_names = class_names(folder / "fine_label_names.txt", kCifar100.classes);
  return set;
}

}  // namespace cucina::data
