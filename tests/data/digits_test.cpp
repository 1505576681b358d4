// Promises of the digits: the real ones when cached, and clear refusals of everything else.
#include "recipe/data/digits.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "tests/data/files.h"

namespace cucina::data {
namespace {

std::string row(int value, int label) {
  std::string text;
  for (int i = 0; i < 64; ++i) text += std::to_string(value) + ",";
  return text + std::to_string(label) + "\n";
}

Bytes bytes_of(const std::string& text) { return {text.begin(), text.end()}; }

TEST(Digits, TheRealOnesSplitInto1197And300And300) {
  if (!std::filesystem::exists(cache_folder() / "digits.csv"))
    GTEST_SKIP() << "the digits are not cached; run tools/fetch_digits";
  const Dataset set = load_digits();
  EXPECT_EQ(set.train.n, 1197);
  EXPECT_EQ(set.validation.n, 300);
  EXPECT_EQ(set.test.n, 300);
  EXPECT_EQ(set.max_value, 16);
  EXPECT_EQ(set.sha256, kDigitsSha256);
  EXPECT_EQ(set.class_names.size(), 10u);
  for (const ImageSet* split : {&set.train, &set.validation, &set.test}) {
    EXPECT_EQ(split->h, 8);
    EXPECT_EQ(split->w, 8);
    EXPECT_EQ(split->c, 1);
    EXPECT_EQ(split->pixels.size(), static_cast<std::size_t>(split->n) * 64);
    EXPECT_EQ(*std::max_element(split->pixels.begin(), split->pixels.end()), 16);
    for (const std::int64_t count : class_counts(*split))  // 10 classes of 174..183 in 1,797
      EXPECT_NEAR(static_cast<double>(count), static_cast<double>(split->n) / 10,
                  split->n * 0.005 + 1);
  }
  // The first image of the file, a zero, starts like this whichever split it falls into.
  const std::vector<std::uint8_t> first = {0, 0, 5, 13, 9, 1, 0, 0, 0, 0, 13, 15, 10, 15, 5, 0};
  int found = 0;
  for (const ImageSet* split : {&set.train, &set.validation, &set.test})
    for (std::int64_t i = 0; i < split->n; ++i)
      if (std::equal(first.begin(), first.end(), split->image(i).begin())) {
        ++found;
        EXPECT_EQ(split->labels[static_cast<std::size_t>(i)], 0);
      }
  EXPECT_EQ(found, 1);
  EXPECT_NE(load_digits(1).test.pixels, load_digits(2).test.pixels);
  EXPECT_EQ(load_digits(1).test.pixels, load_digits(1).test.pixels);
}

TEST(Digits, WhenAbsentTheErrorNamesTheFileAndTheCommand) {
  const Folder folder;
  expect_bad_file([&] { load_digits(folder / "digits.csv", 1); },
                  {(folder / "digits.csv").string(), "run tools/fetch_digits", "--from FILE"});
}

TEST(Digits, OtherBytesAreRefusedByTheirHash) {
  const Folder folder;
  write(folder / "digits.csv", bytes_of(row(3, 1)));
  expect_bad_file(
      [&] { load_digits(folder / "digits.csv", 1); },
      {"digits.csv: its SHA-256 is ", std::string(kDigitsSha256), "run tools/fetch_digits"});
}

TEST(Digits, AFolderInPlaceOfTheFileIsRefused) {
  const Folder folder;
  std::filesystem::create_directory(folder / "digits.csv");
  expect_bad_file([&] { load_digits(folder / "digits.csv", 1); }, {"is not a regular file"});
}

TEST(Digits, WellFormedRowsAreRead) {
  const ImageSet set = parse_digits(row(16, 9) + row(0, 0), "f");
  EXPECT_EQ(set.n, 2);
  EXPECT_EQ(set.pixels[63], 16);
  EXPECT_EQ(set.pixels[64], 0);
  EXPECT_EQ(set.labels, (std::vector<std::int32_t>{9, 0}));
}

TEST(Digits, MalformedRowsAreRefusedWithTheirOffset) {
  const std::string good = row(1, 1);  // 130 bytes
  expect_bad_file([] { parse_digits("", "f"); }, {"f: byte 0", "no digits"});
  expect_bad_file([&] { parse_digits(good + row(17, 1), "f"); }, {"f: byte 130", "0..16"});
  expect_bad_file([&] { parse_digits(row(1, 10), "f"); }, {"f: byte 128", "0..9"});
  expect_bad_file([&] { parse_digits(row(-1, 1), "f"); }, {"f: byte 0", "0..16"});
  expect_bad_file([&] { parse_digits("x" + good, "f"); }, {"f: byte 0", "a number"});
  expect_bad_file([&] { parse_digits(good.substr(0, 60), "f"); }, {"f: byte 60", "a number"});
  expect_bad_file([&] { parse_digits(good.substr(0, 129), "f"); },
                  {"f: byte 129", "end of the line"});
  expect_bad_file([&] { parse_digits("0," + good, "f"); }, {"f: byte 129", "end of the line"});
  expect_bad_file([&] { parse_digits("99999999999999999999" + good, "f"); }, {"f: byte 0"});
}

}  // namespace
}  // namespace cucina::data
