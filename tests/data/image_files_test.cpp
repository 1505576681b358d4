// Promises of data sets made of image files: folders and CSV files come out as what lies in them,
// and each thing that may be wrong is one sentence with the path.
#include "recipe/data/image_files.h"

#include <gtest/gtest.h>
#include <omp.h>

#include <fstream>

#include "recipe/data/load.h"
#include "tests/data/pictures.h"

namespace cucina::data {
namespace {

namespace fs = std::filesystem;

void write_text(const fs::path& path, const std::string& text) { std::ofstream(path) << text; }

struct Cats : Folder {
  Cats() {
    for (int i = 0; i < 6; ++i) {
      write_png(path() / "train/cat" / (std::to_string(i) + ".png"), smooth(8, 6, 3, i));
      write_png(path() / "train/dog" / (std::to_string(i) + ".PNG"), smooth(8, 6, 3, 10 + i));
    }
    for (int i = 0; i < 2; ++i) {
      write_png(path() / "val/cat" / (std::to_string(i) + ".png"), smooth(8, 6, 3, 20 + i));
      write_png(path() / "test/dog" / (std::to_string(i) + ".png"), smooth(8, 6, 3, 30 + i));
    }
  }
  Dataset read(const Limits& limits = {}) const { return load(path().string(), limits); }
  void expect_refused(const std::vector<std::string>& parts) const {
    expect_bad_file([&] { read(); }, parts);
  }
};

TEST(ImageFolders, ComeOutInOrderWithNames) {
  const Cats cats;
  const Dataset set = cats.read();
  EXPECT_EQ(set.class_names, (std::vector<std::string>{"cat", "dog"}));
  ASSERT_EQ(set.train.n, 12);
  EXPECT_EQ(set.train.h, 8);
  EXPECT_EQ(set.train.w, 6);
  EXPECT_EQ(set.train.c, 3);
  EXPECT_EQ(set.train.files[0], "train/cat/0.png");
  EXPECT_EQ(set.train.files[7], "train/dog/1.PNG");
  EXPECT_EQ(set.train.labels[5], 0);
  EXPECT_EQ(set.train.labels[6], 1);
  const auto image = set.train.image(7);
  EXPECT_EQ(Bytes(image.begin(), image.end()), smooth(8, 6, 3, 11).pixels);
  EXPECT_EQ(set.validation.labels, (std::vector<std::int32_t>{0, 0}));
  EXPECT_EQ(set.test.labels, (std::vector<std::int32_t>{1, 1}));
  EXPECT_EQ(set.sha256.size(), 64u);
}

TEST(ImageFolders, AreTheSameOnAnyNumberOfThreads) {
  const Cats cats;
  const std::string sha = cats.read().sha256;
  const int before = omp_get_max_threads();
  omp_set_num_threads(1);
  EXPECT_EQ(cats.read().sha256, sha);
  omp_set_num_threads(before);
  write_png(cats / "train/cat/0.png", smooth(8, 6, 3, 99));
  EXPECT_NE(cats.read().sha256, sha);
}

TEST(ImageFolders, NumbersAreOrderedAsNumbersAndMissingSplitsHeldOut) {
  const Folder folder;
  for (const char* name : {"2", "10", "1"})
    for (int i = 0; i < 10; ++i)
      write_png(folder / name / (std::to_string(i) + ".png"), smooth(4, 4, 1, i));
  const Dataset set = load(folder.path().string());
  EXPECT_EQ(set.class_names, (std::vector<std::string>{"1", "2", "10"}));
  EXPECT_EQ(set.train.n, 24);
  EXPECT_EQ(class_counts(set.validation), std::vector<std::int64_t>(3, 1));
  EXPECT_EQ(class_counts(set.test), std::vector<std::int64_t>(3, 1));
  EXPECT_EQ(set.train.c, 1);
  EXPECT_EQ(set.test.files.size(), 3u);
}

TEST(ImageFolders, MixedSizesAndKindsBecomeAlike) {
  const Cats cats;
  write(cats / "train/cat/6.jpg", jpeg_of(smooth(20, 30, 3, 1)));
  write(cats / "train/cat/7.png", png_of(1, 1, {}, {200}));
  write_text(cats / "train/cat/notes.txt", "not an image");
  write_text(cats / "train/cat/.hidden.png", "not an image either");
  const Dataset set = cats.read();
  ASSERT_EQ(set.train.n, 14);
  EXPECT_EQ(set.train.h, 8);
  const auto grey = set.train.image(7);
  EXPECT_EQ(Bytes(grey.begin(), grey.end()), Bytes(8 * 6 * 3, 200));
  const Dataset small = cats.read({.h = 4, .w = 5, .c = 1});
  EXPECT_EQ(small.train.h, 4);
  EXPECT_EQ(small.train.w, 5);
  EXPECT_EQ(small.train.c, 1);
  EXPECT_EQ(small.test.pixels.size(), 2u * 20);
}

TEST(ImageFolders, WhatIsWrongIsNamedByItsPath) {
  {
    const Cats cats;
    Bytes bytes = read(cats / "train/dog/2.PNG");
    bytes.resize(bytes.size() / 2);
    write(cats / "train/dog/2.PNG", bytes);
    cats.expect_refused({"train/dog/2.PNG: is no whole PNG file", "cut short"});
  }
  {
    const Cats cats;
    Bytes bytes = jpeg_of(smooth(8, 6, 3, 1));
    bytes.resize(bytes.size() - 20);
    write(cats / "train/dog/9.jpeg", bytes);
    cats.expect_refused({"train/dog/9.jpeg: is no whole JPEG file"});
  }
  {
    const Cats cats;
    fs::create_directories(cats / "train/eel");
    cats.expect_refused({"train/eel: no PNG or JPEG file is in this class's folder"});
  }
  {
    const Cats cats;
    write_png(cats / "val/eel/0.png", smooth(8, 6, 3, 1));
    cats.expect_refused({"val/eel/0.png: its class \"eel\" has no image in train"});
  }
  {
    const Cats cats;
    fs::create_directories(cats / "validation");
    cats.expect_refused({"validation: another folder already holds this split"});
  }
  {
    const Cats cats;
    fs::create_directories(cats / "masks");
    cats.expect_refused({"masks: beside train there may be val and test alone"});
  }
  const Cats cats;
  expect_bad_file([&] { cats.read({.file_bytes = 100}); }, {"16 images of 8x6x3", "--image-size"});
}

TEST(ImageFolders, WhatCannotBeReadIsListedWhereThatIsAskedFor) {
  const Cats cats;
  write_text(cats / "train/cat/1.png", "no picture");
  write_text(cats / "val/cat/0.png", "");
  std::vector<Unreadable> unreadable;
  const Dataset set = cats.read({.unreadable = &unreadable});
  ASSERT_EQ(unreadable.size(), 2u);
  EXPECT_EQ(unreadable[0].file, "train/cat/1.png");
  EXPECT_NE(unreadable[1].why.find("is empty"), std::string::npos) << unreadable[1].why;
  ASSERT_EQ(set.train.n, 11);
  EXPECT_EQ(set.train.files[1], "train/cat/2.png");
  const auto image = set.train.image(1);
  EXPECT_EQ(Bytes(image.begin(), image.end()), smooth(8, 6, 3, 2).pixels);
  EXPECT_EQ(set.validation.n, 1);
}

TEST(ImageFolders, TellHowFarTheyAre) {
  const Cats cats;
  std::int64_t last = 0, of = 0;
  const int before = omp_get_max_threads();
  omp_set_num_threads(1);
  cats.read({.progress = [&](std::int64_t done, std::int64_t all) {
    EXPECT_GT(done, last);
    last = done, of = all;
  }});
  omp_set_num_threads(before);
  EXPECT_EQ(last, 32);  // 16 files, each twice
  EXPECT_EQ(of, 32);
}

TEST(ImageCsv, ReadsPathsLabelsAndSplits) {
  const Cats cats;
  write_text(cats / "list.csv",
             "\xef\xbb\xbfpath,label,split\r\n"
             "train/cat/0.png,\"soft, grey\",train\r\n"
             "train/cat/1.png,\"soft, grey\",train\r\n"
             "\"train/dog/0.PNG\",\"say \"\"woof\"\"\",train\r\n"
             "val/cat/0.png,\"soft, grey\",val\r\n"
             "test/dog/0.png,\"say \"\"woof\"\"\",test");
  const Dataset set = load((cats / "list.csv").string());
  EXPECT_EQ(set.name, "list");
  EXPECT_EQ(set.class_names, (std::vector<std::string>{"say \"woof\"", "soft, grey"}));
  EXPECT_EQ(set.train.labels, (std::vector<std::int32_t>{1, 1, 0}));
  EXPECT_EQ(set.train.files[2], "train/dog/0.PNG");
  EXPECT_EQ(set.validation.n, 1);
  EXPECT_EQ(set.test.labels, (std::vector<std::int32_t>{0}));
}

TEST(ImageCsv, WhatIsWrongIsNamedByItsLine) {
  const Cats cats;
  const auto refused = [&](const std::string& text, const std::vector<std::string>& parts) {
    write_text(cats / "list.csv", text);
    expect_bad_file([&] { load((cats / "list.csv").string()); }, parts);
  };
  refused("", {"list.csv: line 1: the header is due"});
  refused("file,class\n", {"list.csv: line 1: the header is due, path,label"});
  refused("path,label\n", {"lists no image for training"});
  refused("path,label\ntrain/cat/0.png,cat\ngone.png,cat\n",
          {"list.csv: line 3: ", "gone.png: no such file"});
  refused("path,label\ntrain/cat/0.png\n", {"line 2: 1 cells but the header has 2"});
  refused("path,label\ntrain/cat/0.png,\n", {"line 2: its label is empty"});
  refused("path,label\n\"train/cat/0.png,cat\n", {"line 2: a quote is opened and never closed"});
  refused("path,label\n\"train\"/cat/0.png,cat\n", {"line 2: a comma or the line's end is due"});
  refused("path,label,split\ntrain/cat/0.png,cat,dev\n", {"line 2: \"dev\" is no split"});
  refused(std::string("path,label\n\0", 12), {"byte 11: a NUL byte"});
  write_text(cats / "train/cat/bad.png", "x");
  refused("path,label\ntrain/cat/0.png,cat\ntrain/cat/bad.png,cat\n",
          {"list.csv: line 3: ", "bad.png: byte 0: 78"});
}

}  // namespace
}  // namespace cucina::data
