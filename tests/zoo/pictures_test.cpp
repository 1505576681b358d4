// Promises of the files that checks leave: they hold what the first layer reads, bit for bit, and
// what pictures show is what was delivered.
#include "recipe/check/pictures.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <nlohmann/json.hpp>

#include "recipe/check/first_layer.h"
#include "recipe/data/npy.h"
#include "recipe/report/contact_sheet.h"
#include "tests/data/files.h"
#include "tests/error_of.h"
#include "tests/zoo/fixture.h"

namespace cucina::checks {
namespace {

using Json = nlohmann::json;
using cucina::testing::error_of;
using data::Folder;

Json json_in(const Folder& folder) {
  const data::Bytes bytes = data::read(folder / "before_the_net.json");
  return Json::parse(bytes.begin(), bytes.end());
}

TEST(Pictures, HoldWhatTheFirstLayerReadsAndLeaveNoTrace) {
  const zoo::Fixture fixture({.fixture = "regression"});
  const Task& task = fixture.task();
  const std::string before = Snapshot(task).fingerprint();
  const Folder folder;
  const std::vector<std::string> names = write_pictures(task, folder / "new");
  EXPECT_EQ(Snapshot(task).fingerprint(), before);
  for (const std::string& name : names)
    EXPECT_TRUE(std::filesystem::exists(folder / "new" / name)) << name;
  const Batch first = batches(task.train, 1).front();
  const data::NpyArray array = data::read_npy(folder / "new" / "before_the_net.npy", 1 << 20);
  EXPECT_EQ(array.dtype, "<f4");
  EXPECT_EQ(array.shape, (std::vector<std::int64_t>{16, 12, 12, 1}));
  ASSERT_EQ(array.bytes.size(), first.inputs.bytes());
  EXPECT_EQ(std::memcmp(array.bytes.data(), first.inputs.raw(), array.bytes.size()), 0);
  const data::Bytes text = data::read(folder / "new" / "before_the_net.json");
  const Json json = Json::parse(text.begin(), text.end());
  EXPECT_EQ(json["sha256"], hash_of(first.inputs));
  EXPECT_EQ(json["read_by"], "conv2d");
  EXPECT_EQ(json["train"]["tiles"][0]["index"], first.indices[0]);
  ASSERT_FALSE(json["golden"].empty());
  for (const Json& each : json["golden"]) EXPECT_GT(each["psnr"], 40) << each;
}

TEST(Pictures, SayWhenNoLayerReadsWhatIsDelivered) {
  const zoo::Fixture fixture({.fixture = "regression", .bug = "Y28"});
  const Folder folder;
  write_pictures(fixture.task(), folder.path());
  EXPECT_TRUE(json_in(folder)["read_by"].is_null());
}

TEST(Pictures, ShowImagesAsTheyAreDelivered) {
  if (!data::picture_files_available()) GTEST_SKIP() << "no libpng in this build";
  const zoo::Fixture fixture({.fixture = "regression"});
  const Task& task = fixture.task();
  const Folder folder;
  write_pictures(task, folder.path());
  const data::Bytes bytes = data::read(folder / "before_the_net.png");
  const data::Picture sheet = data::decode_picture(bytes, "sheet");
  // Twelve tiles of 5 x 12 pixels and a gap of four; six rows, each with 14 pixels of text.
  EXPECT_EQ(sheet.size, (data::PictureSize{4 + 6 * (60 + 14 + 4), 4 + 12 * 64, 3}));
  const Rows rows = rows_of(task.train, 512);
  const auto pixel = [&](std::int64_t y, std::int64_t x) {
    return sheet.pixels[static_cast<std::size_t>((y * sheet.size.w + x) * 3)];
  };
  for (std::int64_t i = 0; i < 12; ++i) {  // of the second row
    for (std::int64_t k = 0; k < 144; ++k) {
      const double expected = rows.row(12 + i)[k] * task.stddev[0] + task.mean[0];
      EXPECT_NEAR(pixel(4 + 78 + k / 12 * 5 + 2, 4 + i * 64 + k % 12 * 5 + 2), expected, 0.6);
    }
  }
}

TEST(Pictures, AFolderThatCannotBeMadeIsASentence) {
  const zoo::Fixture fixture({.fixture = "regression"});
  const Folder folder;
  data::write(folder / "file", {1});
  EXPECT_NE(error_of([&] {
              write_pictures(fixture.task(), folder / "file");
            }).find("file: cannot be made"),
            std::string::npos);
}

TEST(ContactSheet, DrawsCaptionsBelowTiles) {
  const data::Picture white{.size = {8, 8, 1}, .pixels = std::vector<std::uint8_t>(64, 255)};
  const data::Picture sheet = report::contact_sheet({{{white, "1"}, {white, ""}}});
  EXPECT_EQ(sheet.size, (data::PictureSize{4 + 64 + 14 + 4, 4 + 2 * 68, 3}));
  const auto row_of_text = [&](std::int64_t x) {
    std::int64_t lit = 0;
    for (std::int64_t y = 4 + 64; y < sheet.size.h; ++y)
      for (std::int64_t k = x; k < x + 64; ++k)
        lit += sheet.pixels[static_cast<std::size_t>((y * sheet.size.w + k) * 3)] == 220;
    return lit;
  };
  EXPECT_EQ(row_of_text(4), 8 * 4);  // a 1 has eight dots of 2 x 2
  EXPECT_EQ(row_of_text(72), 0);
}

}  // namespace
}  // namespace cucina::checks
