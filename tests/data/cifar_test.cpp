// Promises of the CIFAR-10 reader: planes become channels, and every malformed batch is refused.
#include "recipe/data/cifar.h"

#include <gtest/gtest.h>

#include "recipe/data/load.h"
#include "tests/data/files.h"

namespace cucina::data {
namespace {

constexpr std::size_t kRow = 3073;

// Rows with labels first, first + 1, ...; red = row number, green = pixel index mod 251, blue =
// 200.
Bytes batch(int rows, int first) {
  Bytes bytes;
  for (int row = 0; row < rows; ++row) {
    bytes.push_back(static_cast<std::uint8_t>((first + row) % 10));
    bytes.insert(bytes.end(), 1024, static_cast<std::uint8_t>(row));
    for (int i = 0; i < 1024; ++i) bytes.push_back(static_cast<std::uint8_t>(i % 251));
    bytes.insert(bytes.end(), 1024, 200);
  }
  return bytes;
}

struct Cifar : Folder {
  explicit Cifar(const std::string& inside = "") : batches(path() / inside) {
    std::filesystem::create_directories(batches);
    for (int i = 1; i <= 5; ++i)
      write(batches / ("data_batch_" + std::to_string(i) + ".bin"), batch(20, i));
    write(batches / "test_batch.bin", batch(3, 7));
  }
  void expect_refused(const std::vector<std::string>& parts) const {
    expect_bad_file([&] { load(path().string()); }, parts);
  }
  std::filesystem::path batches;
};

TEST(CifarReader, PlanesBecomeChannelsAndATenthIsHeldOut) {
  const Cifar folder;
  const Dataset set = load(folder.path().string());
  EXPECT_EQ(set.name, "cifar10");
  EXPECT_EQ(set.train.n, 90);
  EXPECT_EQ(set.validation.n, 10);
  ASSERT_EQ(set.test.n, 3);
  EXPECT_EQ(set.test.c, 3);
  EXPECT_EQ(set.test.labels, (std::vector<std::int32_t>{7, 8, 9}));
  for (std::int64_t n = 0; n < 3; ++n)
    for (std::size_t i = 0; i < 1024; ++i) {
      ASSERT_EQ(set.test.image(n)[3 * i], n) << "red of pixel " << i;
      ASSERT_EQ(set.test.image(n)[3 * i + 1], i % 251) << "green of pixel " << i;
      ASSERT_EQ(set.test.image(n)[3 * i + 2], 200) << "blue of pixel " << i;
    }
  EXPECT_EQ(class_counts(set.validation), std::vector<std::int64_t>(10, 1));
}

TEST(CifarReader, FindsTheFolderInside) {
  const Cifar folder("cifar-10-batches-bin");
  EXPECT_EQ(load(folder.path().string()).sha256, load(folder.batches.string()).sha256);
}

TEST(CifarReader, RefusesAMissingBatch) {
  const Cifar folder;
  std::filesystem::remove(folder / "data_batch_4.bin");
  folder.expect_refused({folder.path().string(), "data_batch_4.bin is not there"});
}

TEST(CifarReader, RefusesSizesThatAreNoMultipleOfARow) {
  const Cifar folder;
  Bytes bytes = batch(2, 0);
  bytes.pop_back();
  write(folder / "data_batch_2.bin", bytes);
  folder.expect_refused({"data_batch_2.bin: byte 3073: the last row has 3072 of 3073 bytes"});
  bytes.resize(2 * kRow + 1);
  write(folder / "data_batch_2.bin", bytes);
  folder.expect_refused({"byte 6146: the last row has 1 of 3073 bytes"});
}

TEST(CifarReader, RefusesAnEmptyBatch) {
  const Cifar folder;
  write(folder / "test_batch.bin", {});
  folder.expect_refused({"test_batch.bin: byte 0: the file is empty"});
}

TEST(CifarReader, RefusesLabelsOutOfRange) {
  const Cifar folder;
  Bytes bytes = batch(3, 0);
  bytes[2 * kRow] = 10;
  write(folder / "data_batch_5.bin", bytes);
  folder.expect_refused({"data_batch_5.bin: byte 6146: label 10 is outside 0..9"});
}

TEST(CifarReader, RefusesFilesOverTheLimit) {
  const Cifar folder;
  expect_bad_file([&] { load(folder.path().string(), {.file_bytes = 1000}); },
                  {"data_batch_1.bin: byte 0", "61460 bytes", "1000 are allowed"});
  write_zipped(folder / "data_batch_1.bin", batch(20, 1));
  expect_bad_file([&] { load(folder.path().string(), {.file_bytes = 4 * kRow}); },
                  {"data_batch_1.bin: byte 12292"});
}

// Rows with the coarse label 3 and fine labels first, first + 1, ...
Bytes rows_of_100(int rows, int first) {
  Bytes bytes;
  for (int row = 0; row < rows; ++row) {
    bytes.push_back(3);
    bytes.push_back(static_cast<std::uint8_t>(first + row));
    bytes.insert(bytes.end(), 1024, static_cast<std::uint8_t>(row));
    bytes.insert(bytes.end(), 2048, 200);
  }
  return bytes;
}

TEST(Cifar100Reader, TheFineLabelCounts) {
  const Folder folder;
  const auto inner = folder / "cifar-100-binary";
  std::filesystem::create_directories(inner);
  write(inner / "train.bin", rows_of_100(20, 80));
  write(inner / "test.bin", rows_of_100(2, 98));
  const Dataset set = load(folder.path().string());
  EXPECT_EQ(set.name, "cifar100");
  EXPECT_EQ(set.train.n, 18);
  EXPECT_EQ(set.validation.n, 2);
  EXPECT_EQ(set.test.classes, 100);
  EXPECT_EQ(set.test.labels, (std::vector<std::int32_t>{98, 99}));
  EXPECT_EQ(set.test.image(1)[0], 1);
  EXPECT_EQ(set.test.image(1)[1], 200);
  EXPECT_EQ(set.class_names[99], "99");
}

TEST(Cifar100Reader, RefusesMalformedFiles) {
  const Folder folder;
  const auto refused = [&](const std::vector<std::string>& parts) {
    expect_bad_file([&] { load(folder.path().string()); }, parts);
  };
  write(folder / "train.bin", rows_of_100(2, 0));
  refused({"test.bin is not there"});
  write(folder / "test.bin", rows_of_100(1, 100));
  refused({"test.bin: byte 1: label 100 is outside 0..99"});
  Bytes cut = rows_of_100(1, 0);
  cut.pop_back();
  write(folder / "test.bin", cut);
  refused({"test.bin", "the last row has 3073 of 3074 bytes", "no CIFAR-100 file"});
  write(folder / "test.bin", rows_of_100(1, 0));
  write(folder / "fine_label_names.txt", {'a', '\n', 'b', '\n'});
  refused({"fine_label_names.txt: holds 2 names but there are 100 classes"});
}

}  // namespace
}  // namespace cucina::data
