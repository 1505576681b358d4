// The CIFAR-10 reader: rows of a label and three planes become (n, h, w, c).
#include "recipe/data/cifar.h"

#include <algorithm>
#include <string>
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
constexpr std::int64_t kRow = 1 + kChannels * kPlane;
constexpr int kClasses = 10;
constexpr int kTrainBatches = 5;
constexpr std::int64_t kValidationShare = 10;

std::vector<std::string> names() {
  std::vector<std::string> all;
  for (int i = 1; i <= kTrainBatches; ++i)
    all.push_back("data_batch_" + std::to_string(i) + ".bin");
  all.emplace_back("test_batch.bin");
  return all;
}

// Appends the rows of one batch file to `set`.
void read_batch(const std::filesystem::path& path, const Limits& limits, ImageSet* set,
                Sha256* sha) {
  ByteReader reader(path);
  if (!reader.zipped() && reader.size_at_most() > limits.file_bytes)
    fail(ExitCode::bad_file,
         "{}: byte 0: the file has {} bytes but {} are allowed; put a CIFAR-10 batch there",
         path.string(), reader.size_at_most(), limits.file_bytes);
  std::vector<std::uint8_t> bytes;
  reader.append(&bytes, limits.file_bytes);
  const auto size = static_cast<std::int64_t>(bytes.size());
  if (size == 0)
    fail(ExitCode::bad_file, "{}: byte 0: the file is empty; fetch it again", path.string());
  if (size % kRow != 0)
    fail(ExitCode::bad_file,
         "{}: byte {}: the last row has {} of {} bytes; the file is cut short or no CIFAR-10 "
         "batch: fetch it again",
         path.string(), size / kRow * kRow, size % kRow, kRow);
  reader.expect_end(fmt::format("the {} bytes allowed", limits.file_bytes));
  sha->update(bytes.data(), bytes.size());

  const std::int64_t rows = size / kRow;
  const std::size_t before = set->pixels.size();
  set->pixels.resize(before + static_cast<std::size_t>(rows * kPlane * kChannels));
  std::uint8_t* to = set->pixels.data() + before;
  for (std::int64_t row = 0; row < rows; ++row) {
    const std::uint8_t* from = bytes.data() + row * kRow;
    if (*from >= kClasses)
      fail(ExitCode::bad_file,
           "{}: byte {}: label {} is outside 0..{}; the file is damaged: fetch it again",
           path.string(), row * kRow, *from, kClasses - 1);
    set->labels.push_back(*from);
    const std::uint8_t* planes = from + 1;
    for (std::int64_t i = 0; i < kPlane; ++i)
      for (std::int64_t c = 0; c < kChannels; ++c) *to++ = planes[c * kPlane + i];
  }
  set->n += rows;
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
  const ImageSet none{.n = 0,
                      .h = kSide,
                      .w = kSide,
                      .c = kChannels,
                      .classes = kClasses,
                      .pixels = {},
                      .labels = {}};
  Sha256 sha;
  ImageSet train = none;
  Dataset set;
  set.test = none;
  for (int i = 0; i < kTrainBatches; ++i)
    read_batch(paths[static_cast<std::size_t>(i)], limits, &train, &sha);
  read_batch(paths[kTrainBatches], limits, &set.test, &sha);
  const std::int64_t validation = std::max<std::int64_t>(1, train.n / kValidationShare);
  auto [kept, held_out] = hold_out(train, validation, limits.split_seed);
  set.train = std::move(kept);
  set.validation = std::move(held_out);
  set.sha256 = sha.hex();
  set.name = "cifar10";
  set.class_names = {"airplane", "automobile", "bird",  "cat",  "deer",
                     "dog",      "frog",       "horse", "ship", "truck"};
  return set;
}

}  // namespace cucina::data
