// Promises of the idx reader: every spelling and compression is read, every malformed file is
// refused.
#include "recipe/data/idx.h"

#include <gtest/gtest.h>
#include <sys/resource.h>

#include <numeric>

#include "recipe/data/load.h"
#include "tests/data/files.h"

namespace cucina::data {
namespace {

constexpr std::uint32_t kImages = 0x803;
constexpr std::uint32_t kLabels = 0x801;

Bytes counting(std::size_t size) {
  Bytes bytes(size);
  std::iota(bytes.begin(), bytes.end(), std::uint8_t{0});
  return bytes;
}

Bytes cycling_labels(std::size_t count) {
  Bytes labels(count);
  for (std::size_t i = 0; i < count; ++i) labels[i] = static_cast<std::uint8_t>(i % 10);
  return labels;
}

Bytes images_file(std::uint32_t n) { return idx(kImages, {n, 2, 3}, counting(n * 6u)); }
Bytes labels_file(std::uint32_t n) { return idx(kLabels, {n}, cycling_labels(n)); }

// A complete set: 24 train and 4 test images of 2x3.
struct Idx : Folder {
  Idx() {
    write(train_images(), images_file(24));
    write(train_labels(), labels_file(24));
    write(*this / "t10k-images-idx3-ubyte", images_file(4));
    write(*this / "t10k-labels-idx1-ubyte", labels_file(4));
  }
  std::filesystem::path train_images() const { return *this / "train-images-idx3-ubyte"; }
  std::filesystem::path train_labels() const { return *this / "train-labels-idx1-ubyte"; }
  void expect_refused(const std::vector<std::string>& parts) const {
    expect_bad_file([&] { load(path().string()); }, parts);
  }
};

TEST(IdxReader, ReadsPixelsAndLabelsAndHoldsOutATwelfth) {
  const Idx folder;
  const Dataset set = load(folder.path().string());
  EXPECT_EQ(set.train.n, 22);
  EXPECT_EQ(set.validation.n, 2);
  EXPECT_EQ(set.test.n, 4);
  EXPECT_EQ(set.test.h, 2);
  EXPECT_EQ(set.test.w, 3);
  EXPECT_EQ(set.test.c, 1);
  EXPECT_EQ(set.test.pixels, counting(24));
  EXPECT_EQ(set.test.labels, (std::vector<std::int32_t>{0, 1, 2, 3}));
  EXPECT_EQ(set.max_value, 255);
  EXPECT_EQ(set.name, folder.path().filename().string());
  for (std::int64_t i = 0; i < set.train.n;
       ++i)  // image j starts with pixel 6 j and has label j mod 10
    EXPECT_EQ(set.train.image(i)[0] / 6 % 10, set.train.labels[static_cast<std::size_t>(i)])
        << "image " << i;
}

TEST(IdxReader, ReadsDottedNamesAndGzipWithTheSameHash) {
  const Idx plain;
  const Folder zipped;
  write_zipped(zipped / "train-images.idx3-ubyte.gz", images_file(24));
  write_zipped(zipped / "train-labels-idx1-ubyte.gz", labels_file(24));
  write_zipped(zipped / "t10k-images.idx3-ubyte",
               images_file(4));  // gzip is told by content, not by name
  write(zipped / "t10k-labels.idx1-ubyte", labels_file(4));
  const Dataset a = load(plain.path().string());
  const Dataset b = load(zipped.path().string());
  EXPECT_EQ(a.sha256, b.sha256);
  EXPECT_EQ(a.train.pixels, b.train.pixels);
  EXPECT_EQ(a.validation.labels, b.validation.labels);
}

TEST(IdxReader, LimitsKeepTheFirstImages) {
  const Idx folder;
  const Dataset set = load(folder.path().string(), {.train = 5, .test = 1});
  EXPECT_EQ(set.train.n, 5);
  EXPECT_EQ(set.train.pixels.size(), 30u);
  EXPECT_EQ(set.validation.n, 2);
  EXPECT_EQ(set.test.n, 1);
  EXPECT_THROW(load(folder.path().string(), {.train = -1}), Error);
}

TEST(IdxReader, RefusesAMissingFile) {
  const Idx folder;
  std::filesystem::remove(folder.train_labels());
  folder.expect_refused(
      {folder.path().string(), "train-labels-idx1-ubyte", "train-labels.idx1-ubyte"});
}

TEST(IdxReader, RefusesAWrongMagicNumber) {
  const Idx folder;
  write(folder.train_images(), idx(0x804, {24, 2, 3}, counting(144)));
  folder.expect_refused({folder.train_images().string() + ": byte 0", "0x00000804", "0x00000803"});
  write(folder.train_images(), labels_file(24));
  folder.expect_refused({"0x00000801 (that is a file of labels)"});
  write(folder.train_images(), images_file(24));
  write(folder.train_labels(), images_file(24));
  folder.expect_refused(
      {folder.train_labels().string() + ": byte 0", "(that is a file of images)"});
}

TEST(IdxReader, RefusesTruncationAtEveryByte) {
  const Idx folder;
  const Bytes whole = images_file(24);
  for (std::size_t size = 0; size < whole.size(); ++size) {
    write(folder.train_images(), Bytes(whole.begin(), whole.begin() + static_cast<long>(size)));
    folder.expect_refused({folder.train_images().string() + ": byte ", "cut short"});
  }
  write(folder.train_images(), Bytes(whole.begin(), whole.end() - 1));
  folder.expect_refused({"byte 16: 24 images of 2x3 needs 144 bytes but only 143 follow"});
}

TEST(IdxReader, RefusesExtraBytes) {
  const Idx folder;
  Bytes longer = images_file(24);
  longer.push_back(0);
  write(folder.train_images(), longer);
  folder.expect_refused({"byte 160: 24 images of 2x3 ends here but the file has 161 bytes"});
  write_zipped(folder.train_images(), longer);
  folder.expect_refused({"byte 160", "unzipped bytes follow"});
}

TEST(IdxReader, RefusesDamagedGzip) {
  const Idx folder;
  write_zipped(folder.train_images(), images_file(24));
  const Bytes whole = read(folder.train_images());
  for (std::size_t size = 18; size < whole.size();
       ++size) {  // shorter ones are not even a gzip header
    write(folder.train_images(), Bytes(whole.begin(), whole.begin() + static_cast<long>(size)));
    folder.expect_refused({folder.train_images().string() + ": byte ", "fetch"});
  }
  Bytes damaged = whole;
  damaged[whole.size() - 6] ^= 0xff;  // the checksum at the end
  write(folder.train_images(), damaged);
  folder.expect_refused({folder.train_images().string(), "cannot be read", "incorrect data check"});
}

TEST(IdxReader, RefusesSizesOfZeroAndTooFewImages) {
  const Idx folder;
  write(folder.train_images(), idx(kImages, {0, 2, 3}, {}));
  folder.expect_refused({"byte 4", "0 images of 2x3"});
  write(folder.train_images(), idx(kImages, {24, 0, 3}, {}));
  folder.expect_refused({"24 images of 0x3"});
  write(folder.train_images(), Bytes{});
  folder.expect_refused({"byte 0", "needs 4 bytes but only 0"});
  write(folder.train_images(), images_file(1));
  write(folder.train_labels(), labels_file(1));
  folder.expect_refused({"holds 1 image"});
}

TEST(IdxReader, RefusesGiantHeadersWithoutTakingTheMemory) {
  const auto peak_kilobytes = [] {
    rusage usage{};
    ::getrusage(RUSAGE_SELF, &usage);
    return usage.ru_maxrss;
  };
  const Idx folder;
  const Bytes payload(16, 0);
  const auto before = peak_kilobytes();
  for (const auto& sizes :
       std::vector<std::vector<std::uint32_t>>{{0xffffffff, 0xffffffff, 0xffffffff},
                                               {0x80000000, 0x80000000, 4},
                                               {65536, 65536, 65536}}) {
    write(folder.train_images(), idx(kImages, sizes, payload));
    folder.expect_refused({"byte 4", "more than the 4294967296 bytes allowed"});
  }
  write(folder.train_images(), idx(kImages, {1000000, 60, 60}, payload));
  folder.expect_refused({"needs 3600000000 bytes but only 16 follow"});
  write_zipped(folder.train_images(), idx(kImages, {1000000, 60, 60}, payload));
  folder.expect_refused({"needs 3600000000 bytes but only at most "});
  EXPECT_LT(peak_kilobytes() - before, 65536);
}

TEST(IdxReader, RefusesLabelsOutOfRange) {
  const Idx folder;
  Bytes labels = cycling_labels(24);
  labels[7] = 10;
  write(folder.train_labels(), idx(kLabels, {24}, labels));
  folder.expect_refused({folder.train_labels().string() + ": byte 15: label 10 is outside 0..9"});
}

TEST(IdxReader, RefusesCountsThatDiffer) {
  const Idx folder;
  write(folder.train_labels(), labels_file(23));
  folder.expect_refused({"train-labels-idx1-ubyte: byte 4", "23 labels", "24 images"});
}

TEST(IdxReader, RefusesTestImagesOfAnotherSize) {
  const Idx folder;
  write(folder / "t10k-images-idx3-ubyte", idx(kImages, {4, 3, 2}, counting(24)));
  folder.expect_refused({"t10k-images-idx3-ubyte: byte 8", "3x2", "2x3"});
}

}  // namespace
}  // namespace cucina::data
