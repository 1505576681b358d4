// Promises of the .npy reader: what NumPy writes is read, and every malformed file is refused.
#include "recipe/data/npy.h"

#include <gtest/gtest.h>

#include "recipe/data/load.h"
#include "tests/data/files.h"

namespace cucina::data {
namespace {

Bytes npy(const std::string& header, const Bytes& payload, int version = 1) {
  std::string text = header;
  while ((text.size() + 11) % 64 != 0) text += ' ';
  text += '\n';
  Bytes bytes{0x93, 'N', 'U', 'M', 'P', 'Y', static_cast<std::uint8_t>(version), 0};
  for (int i = 0; i < (version == 1 ? 2 : 4); ++i)
    bytes.push_back(static_cast<std::uint8_t>(text.size() >> 8 * i));
  bytes.insert(bytes.end(), text.begin(), text.end());
  bytes.insert(bytes.end(), payload.begin(), payload.end());
  return bytes;
}

std::string header(const std::string& dtype, const std::string& shape) {
  return "{'descr': '" + dtype + "', 'fortran_order': False, 'shape': " + shape + ", }";
}

// Three images of 2x2 and labels 0, 1, 0.
struct Arrays : Folder {
  Arrays() {
    images(header("|u1", "(3, 2, 2)"), {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12});
    labels(header("<i4", "(3,)"), {0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0});
  }
  void images(const std::string& text, const Bytes& payload) const {
    write(path() / "train_images.npy", npy(text, payload));
  }
  void labels(const std::string& text, const Bytes& payload) const {
    write(path() / "train_labels.npy", npy(text, payload));
  }
  NpyArray array() const { return read_npy(path() / "train_images.npy", 1000); }
  Dataset read() const { return load(path().string()); }
  void expect_refused(const std::vector<std::string>& parts) const {
    expect_bad_file([&] { read(); }, parts);
  }
};

TEST(Npy, ReadsImagesAndLabelsAndHoldsOutTheRest) {
  const Arrays arrays;
  const Dataset set = arrays.read();
  EXPECT_EQ(set.train.n + set.validation.n + set.test.n, 3);
  EXPECT_EQ(set.train.n, 1);
  EXPECT_EQ(set.train.h, 2);
  EXPECT_EQ(set.train.c, 1);
  EXPECT_EQ(set.class_names, (std::vector<std::string>{"0", "1"}));
  ASSERT_EQ(set.train.rows.size(), 1u);
  EXPECT_EQ(set.train.pixels[0], 1 + 4 * set.train.rows[0]);
}

TEST(Npy, ReadsAllThreeSplitsByEitherName) {
  const Folder folder;
  for (const std::string split : {"train", "val", "test"}) {
    write(folder / ("x_" + split + ".npy"), npy(header("|u1", "(3, 1, 1, 3)"), Bytes(9, 5)));
    write(folder / ("y_" + split + ".npy"), npy(header("|i1", "(3, 1)"), {2, 0, 1}));
  }
  const Dataset set = load(folder.path().string());
  EXPECT_EQ(set.train.c, 3);
  for (const ImageSet* each : {&set.train, &set.validation, &set.test}) {
    EXPECT_EQ(each->labels, (std::vector<std::int32_t>{2, 0, 1}));
    EXPECT_EQ(each->classes, 3);
  }
}

TEST(Npy, ReadsEveryKindOfInteger) {
  const Arrays arrays;
  const auto labels = [&](const std::string& dtype, const Bytes& payload) {
    arrays.labels(header(dtype, "(3,)"), payload);
    const Dataset set = arrays.read();
    EXPECT_EQ(set.train.classes, 2) << dtype;
  };
  labels("|u1", {0, 1, 0});
  labels("<u2", {0, 0, 1, 0, 0, 0});
  labels(">i2", {0, 0, 0, 1, 0, 0});
  labels(">i8", [] {
    Bytes bytes(24, 0);
    bytes[15] = 1;
    return bytes;
  }());
}

TEST(Npy, ReadsVersionsAndSpacesAndShapes) {
  const Arrays arrays;
  for (const int version : {1, 2, 3}) {
    write(arrays / "train_images.npy", npy(header("|u1", "(2,)"), {7, 8}, version));
    EXPECT_EQ(arrays.array().bytes, (Bytes{7, 8}));
  }
  arrays.images("{\"shape\":(2,1) ,'descr':'<f4','fortran_order' : False}", Bytes(8, 0));
  EXPECT_EQ(arrays.array().shape, (std::vector<std::int64_t>{2, 1}));
  arrays.images(header("|u1", "()"), {3});
  EXPECT_TRUE(arrays.array().shape.empty());
}

TEST(Npy, MalformedFilesAreRefused) {
  const Arrays arrays;
  const std::string good = header("|u1", "(3, 2, 2)");
  const auto refused = [&](const std::string& text, const Bytes& payload,
                           const std::vector<std::string>& parts) {
    arrays.images(text, payload);
    arrays.expect_refused(parts);
  };
  refused(good, Bytes(11),
          {"train_images.npy", "shape (3, 2, 2) needs 12 bytes but only 11 follow"});
  refused(good, Bytes(13), {"an array of shape (3, 2, 2) ends here"});
  refused("{'descr': '|u1'}", {}, {"its header is not as NumPy writes it"});
  refused("{'descr': '|u1', 'fortran_order': Maybe, 'shape': (3,), }", {}, {"not as NumPy writes"});
  refused("{'descr': '|u1', 'fortran_order': True, 'shape': (3, 2, 2), }", Bytes(12),
          {"Fortran's order", "ascontiguousarray"});
  refused(header("|O", "(3,)"), {}, {"dtype \"|O\" is no plain number"});
  refused(header("|u1", "(-3, 2)"), {}, {"not as NumPy writes"});
  refused(header("|u1", "(4294967296, 4294967296, 2)"), {}, {"more than", "bytes allowed"});
  refused(header("|u1", "(99999999999999999999,)"), {}, {"not as NumPy writes"});
  refused(header("<f4", "(3, 2, 2)"), Bytes(48), {"dtype \"<f4\"", "uint8"});
  refused(header("|u1", "(3, 3, 4, 4)"), Bytes(144), {"channels first", "transpose(0, 2, 3, 1)"});
  refused(header("|u1", "(12,)"), Bytes(12), {"shape (12)", "images are (n, h, w)"});
  refused(header("|u1", "(0, 2, 2)"), {}, {"has no images"});
  refused(header("|u1", "(4, 2, 2)"), Bytes(16), {"labels of shape (3) for 4 images"});
  write(arrays / "train_images.npy", Bytes{'P', 'K', 3, 4, 5, 6, 7, 8, 9});
  arrays.expect_refused({"byte 0: begins with 50 4b", "numpy.save"});
  write(arrays / "train_images.npy", {});
  arrays.expect_refused({"the magic string"});
}

TEST(Npy, LabelsThatMeanNothingAreRefused) {
  const Arrays arrays;
  arrays.labels(header("|i1", "(3,)"), {0, 0xff, 1});
  arrays.expect_refused({"train_labels.npy: label 1 is -1"});
  arrays.labels(header("<f4", "(3,)"), Bytes(12, 0));
  arrays.expect_refused({"labels of dtype \"<f4\""});
  arrays.labels(header("|u1", "(3,)"), {0, 1, 0});
  write(arrays / "test_images.npy", npy(header("|u1", "(1, 2, 2)"), Bytes(4)));
  arrays.expect_refused({"test_images.npy is there without test_labels.npy"});
  write(arrays / "test_labels.npy", npy(header("|u1", "(1,)"), {2}));
  arrays.expect_refused({"test_labels.npy: label 0 is 2 but train has 0 to 1"});
  write(arrays / "test_images.npy", npy(header("|u1", "(1, 2, 3)"), Bytes(6)));
  arrays.expect_refused({"images of 2x3x1 but train has 2x2x1"});
}

// Whatever the bytes are, the answer is an array or a sentence.
TEST(Npy, DamagedBytesNeverDoMoreThanBeRefused) {
  const Folder folder;
  const Bytes whole = npy(header("<i4", "(3, 2)"), Bytes(24, 1));
  std::uint32_t state = 11;
  const auto draw = [&] { return (state = state * 1664525 + 1013904223) >> 8; };
  int refused = 0;
  for (int round = 0; round < 1000; ++round) {
    Bytes damaged = whole;
    damaged[draw() % 80] = static_cast<std::uint8_t>(draw());
    if (round % 4 == 0) damaged.resize(draw() % damaged.size());
    write(folder / "a.npy", damaged);
    try {
      read_npy(folder / "a.npy", 1 << 20);
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ExitCode::bad_file) << error.what();
      ++refused;
    }
  }
  EXPECT_GT(refused, 500);
}

}  // namespace
}  // namespace cucina::data
