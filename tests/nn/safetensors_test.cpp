// Promises of the safetensors reader and writer: what is written reads back, and no malformed byte
// gets past.
#include "nn/safetensors.h"

#include <gtest/gtest.h>

#include <cstring>
#include <functional>
#include <optional>
#include <set>

#include "tests/data/files.h"

namespace cucina::nn {
namespace {

using data::Bytes;
using data::expect_bad_file;
using data::Folder;

// A file of a header and `data_bytes` zeros; the length defaults to the header's own.
Bytes file_of(const std::string& header, std::size_t data_bytes = 0,
              std::optional<std::uint64_t> length = std::nullopt) {
  const std::uint64_t announced = length.value_or(header.size());
  std::string text(sizeof announced, '\0');
  std::memcpy(text.data(), &announced, sizeof announced);
  text += header;
  text.append(data_bytes, '\0');
  return {text.begin(), text.end()};
}

std::string entry(const std::string& name, const std::string& dtype, const std::string& shape,
                  const std::string& offsets) {
  return "\"" + name + "\":{\"dtype\":\"" + dtype + "\",\"shape\":" + shape +
         ",\"data_offsets\":" + offsets + "}";
}

TEST(Safetensors, WhatIsWrittenReadsBack) {
  const Folder folder;
  const auto path = folder / "a model.safetensors";
  write_safetensors(path,
                    {{.name = "half", .dtype = "F16", .shape = {3}, .bytes = {1, 2, 3, 4, 5, 6}},
                     {.name = "none", .dtype = "F32", .shape = {2, 0}, .bytes = {}},
                     {.name = "count", .dtype = "I64", .shape = {}, .bytes = Bytes(8, 7)},
                     {.name = "w\"eird\xc3\xa9", .dtype = "U8", .shape = {1}, .bytes = {9}}},
                    {{"format", "pt"}, {"note", "line\nfeed"}});
  const Safetensors file = read_safetensors(path);
  EXPECT_EQ(file.metadata.at("format"), "pt");
  EXPECT_EQ(file.metadata.at("note"), "line\nfeed");
  ASSERT_EQ(file.tensors.size(), 4u);
  ASSERT_NE(file.find("half"), nullptr);
  const auto half = file.bytes(*file.find("half"));
  EXPECT_EQ(Bytes(half.begin(), half.end()), (Bytes{1, 2, 3, 4, 5, 6}));
  EXPECT_EQ(file.find("half")->shape, std::vector<std::int64_t>{3});
  EXPECT_TRUE(file.find("count")->shape.empty());
  EXPECT_EQ(file.bytes(*file.find("count"))[0], 7);
  EXPECT_EQ(file.find("none")->shape, (std::vector<std::int64_t>{2, 0}));
  EXPECT_NE(file.find("w\"eird\xc3\xa9"), nullptr);
  EXPECT_EQ(file.find("absent"), nullptr);
  // The header ends at a multiple of 8 and the widest elements come first: all are aligned.
  std::uint64_t header = 0;
  std::memcpy(&header, data::read(path).data(), 8);
  EXPECT_EQ(header % 8, 0u);
  EXPECT_EQ(file.tensors[0].name, "count");
}

TEST(Safetensors, AFailedWriteLeavesTheOldFileAndNoOther) {
  const Folder folder;
  const auto path = folder / "model.safetensors";
  write_safetensors(path, {{.name = "x", .dtype = "U8", .shape = {1}, .bytes = {1}}}, {});
  const Bytes before = data::read(path);
  // The name is a folder that is not empty: everything but the rename succeeds.
  const auto blocked = folder / "blocked";
  std::filesystem::create_directories(blocked / "inside");
  try {
    write_safetensors(blocked, {{.name = "x", .dtype = "U8", .shape = {1}, .bytes = {2}}}, {});
    ADD_FAILURE() << "nothing was thrown";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::run_failed);
    EXPECT_NE(std::string(error.what()).find(blocked.string()), std::string::npos);
  }
  std::set<std::string> names;
  for (const auto& each : std::filesystem::directory_iterator(folder.path()))
    names.insert(each.path().filename().string());
  EXPECT_EQ(names, (std::set<std::string>{"blocked", "model.safetensors"}));
  EXPECT_EQ(data::read(path), before);
  EXPECT_THROW(write_safetensors(folder / "no" / "such", {}, {}), Error);
}

TEST(Safetensors, ValidButOddFilesAreRead) {
  const Folder folder;
  const auto path = folder / "odd";
  const auto accept = [&](const Bytes& bytes) {
    data::write(path, bytes);
    EXPECT_NO_THROW(read_safetensors(path));
  };
  accept(file_of("{}"));
  accept(file_of("{}      "));
  accept(file_of("{ \n\t" + entry("a", "F32", "[ 2 ]", "[0,8]") + "\r\n}", 8));
  // Out of order, with an empty array between two others, and a scalar.
  accept(file_of("{" + entry("b", "U8", "[2]", "[4,6]") + "," +
                     entry("z", "F32", "[0,5]", "[4,4]") + "," + entry("a", "F32", "[]", "[0,4]") +
                     "}",
                 6));
  // A size of 0 beside one whose product alone would overflow.
  accept(file_of("{" + entry("a", "F64", "[9223372036854775807,9,0]", "[0,0]") + "}"));
  accept(
      file_of("{\"__metadata__\":{},\"a.b/c\":{\"data_offsets\":[0,1],\"shape\":[1],\"dtype\":"
              "\"BOOL\"}}",
              1));
}

struct Malformed {
  std::string name;
  Bytes bytes;
  std::vector<std::string> parts;  // of the sentence
};

std::vector<Malformed> malformed() {
  const auto one = [](const std::string& shape, const std::string& offsets) {
    return "{" + entry("a", "F32", shape, offsets) + "}";
  };
  const std::string deep(100'000, '[');
  std::string many = "{";
  for (std::size_t i = 0; i <= kMaxTensors; ++i)
    many += (i == 0 ? "" : ",") + entry(std::to_string(i), "U8", "[0]", "[0,0]");
  return {
      {"empty", {}, {"byte 0", "8 bytes"}},
      {"short_length", Bytes(7), {"byte 7"}},
      {"no_header", file_of(""), {"byte 8", "'{'"}},
      {"header_beyond_file", file_of("{}", 0, 3), {"byte 0", "3 bytes", "2 bytes follow"}},
      {"header_too_large", file_of("{}", 0, kMaxHeaderBytes + 1), {"byte 0", "100000001"}},
      {"header_length_overflows", file_of("{}", 0, ~std::uint64_t{0}), {"byte 0"}},
      {"not_an_object", file_of("[]"), {"byte 8", "'{'"}},
      {"leading_space", file_of(" {}"), {"byte 8"}},
      {"truncated_json", file_of("{\"a\":"), {"byte 1", "JSON"}},
      {"after_the_end", file_of("{}x"), {"byte 10", "JSON"}},
      {"trailing_nul", file_of(std::string("{}\0", 3)), {"byte 10", "NUL"}},
      {"nul_hides_the_rest", file_of(std::string("{}\0,x", 5)), {"byte 10", "NUL"}},
      {"bad_utf8", file_of("{\"\xff\":0}"), {"byte 10", "JSON"}},
      {"deep", file_of("{\"a\":" + deep), {"byte 1"}},
      {"deep_objects", file_of("{\"a\":{\"dtype\":{"), {"an object where none belongs"}},
      {"value_is_number", file_of("{\"a\":1}"), {"the number 1"}},
      {"value_is_null", file_of("{\"a\":null}"), {"null"}},
      {"value_is_true", file_of("{\"a\":true}"), {"a truth value"}},
      {"value_is_string", file_of("{\"a\":\"b\"}"), {"a string"}},
      {"value_is_list", file_of("{\"a\":[]}"), {"a list"}},
      {"metadata_is_list", file_of("{\"__metadata__\":[]}"), {"a list"}},
      {"metadata_number", file_of("{\"__metadata__\":{\"a\":1}}"), {"the number 1"}},
      {"metadata_object", file_of("{\"__metadata__\":{\"a\":{}}}"), {"an object"}},
      {"metadata_twice", file_of("{\"__metadata__\":{},\"__metadata__\":{}}"), {"twice"}},
      {"metadata_key_twice", file_of("{\"__metadata__\":{\"a\":\"\",\"a\":\"\"}}"), {"twice"}},
      {"name_twice",
       file_of("{" + entry("a", "U8", "[0]", "[0,0]") + "," + entry("a", "U8", "[0]", "[0,0]") +
               "}"),
       {"byte 63", "'a' stands there twice"}},
      {"field_twice", file_of("{\"a\":{\"dtype\":\"U8\",\"dtype\":\"U8\"}}"), {"twice"}},
      {"unknown_field", file_of("{\"a\":{\"strides\":[1]}}"), {"unknown key 'strides'"}},
      {"no_dtype", file_of("{\"a\":{\"shape\":[0],\"data_offsets\":[0,0]}}"), {"no dtype"}},
      {"no_shape", file_of("{\"a\":{\"dtype\":\"U8\",\"data_offsets\":[0,0]}}"), {"no shape"}},
      {"no_offsets", file_of("{\"a\":{\"dtype\":\"U8\",\"shape\":[0]}}"), {"no data_offsets"}},
      {"unknown_dtype", file_of("{" + entry("a", "F31", "[1]", "[0,4]") + "}", 4), {"'F31'"}},
      {"dtype_number", file_of("{\"a\":{\"dtype\":4}}"), {"the number 4"}},
      {"negative_size", file_of(one("[-1]", "[0,4]"), 4), {"the negative number -1"}},
      {"float_size", file_of(one("[1.0]", "[0,4]"), 4), {"1.0"}},
      {"huge_size", file_of(one("[18446744073709551616]", "[0,4]"), 4), {"no 64-bit integer"}},
      {"size_above_signed", file_of(one("[9223372036854775808]", "[0,4]"), 4), {"too large"}},
      {"string_size", file_of(one("[\"1\"]", "[0,4]"), 4), {"a string"}},
      {"nested_size", file_of(one("[[1]]", "[0,4]"), 4), {"a list"}},
      {"product_overflows",
       file_of(one("[4194305,4194305,211106198978564]", "[0,4]"), 4),
       {"64 bits"}},
      {"too_many_dimensions",
       file_of(one(
                   "[1" + std::string(",1") +
                       [] {
                         std::string ones;
                         for (int i = 0; i < 64; ++i) ones += ",1";
                         return ones;
                       }() +
                       "]",
                   "[0,4]"),
               4),
       {"more than 64 dimensions"}},
      {"one_offset", file_of(one("[1]", "[0]"), 4), {"holds 1 numbers"}},
      {"three_offsets", file_of(one("[1]", "[0,4,8]"), 4), {"the number 8"}},
      {"negative_offset", file_of(one("[1]", "[-4,0]"), 4), {"-4"}},
      {"float_offset", file_of(one("[1]", "[0,4e0]"), 4), {"4e0"}},
      {"reversed_offsets", file_of(one("[1]", "[4,0]"), 4), {"begins at 4 but ends at 0"}},
      {"beyond_the_data", file_of(one("[2]", "[0,8]"), 4), {"ends at 8", "4 bytes"}},
      {"offset_overflows",
       file_of(one("[1]", "[18446744073709551612,18446744073709551615]"), 4),
       {"only 4 bytes"}},
      {"wrong_size", file_of(one("[2]", "[0,4]"), 4), {"needs 8 bytes", "has 4"}},
      {"overlap",
       file_of(
           "{" + entry("a", "U8", "[4]", "[0,4]") + "," + entry("b", "U8", "[3]", "[2,5]") + "}",
           5),
       {"'b' begins at 2", "ends at 4"}},
      {"hole",
       file_of(
           "{" + entry("a", "U8", "[2]", "[0,2]") + "," + entry("b", "U8", "[2]", "[3,5]") + "}",
           5),
       {"'b' begins at 3", "ends at 2"}},
      {"hole_at_the_start",
       file_of("{" + entry("a", "U8", "[2]", "[1,3]") + "}", 3),
       {"ends at 0"}},
      {"same_bytes_twice",
       file_of(
           "{" + entry("a", "U8", "[2]", "[0,2]") + "," + entry("b", "U8", "[2]", "[0,2]") + "}",
           2),
       {"'b' begins at 0"}},
      {"empty_array_inside_another",
       file_of(
           "{" + entry("a", "U8", "[4]", "[0,4]") + "," + entry("b", "U8", "[0]", "[2,2]") + "}",
           4),
       {"'b' begins at 2"}},
      {"trailing_bytes",
       file_of("{" + entry("a", "U8", "[2]", "[0,2]") + "}", 3),
       {"1 bytes follow"}},
      {"data_without_arrays", file_of("{}", 1), {"byte 10", "1 bytes follow"}},
      {"empty_name", file_of("{" + entry("", "U8", "[0]", "[0,0]") + "}"), {"empty name"}},
      {"nul_in_name",
       file_of("{" + entry("a\\u0000b", "U8", "[0]", "[0,0]") + "}"),
       {"control character"}},
      {"climbing_name", file_of("{" + entry("../a", "U8", "[0]", "[0,0]") + "}"), {"climbs"}},
      {"climbing_inside",
       file_of("{" + entry("a/../../b", "U8", "[0]", "[0,0]") + "}"),
       {"climbs"}},
      {"climbing_windows", file_of("{" + entry("a\\\\..", "U8", "[0]", "[0,0]") + "}"), {"climbs"}},
      {"too_many_arrays", file_of(many + "}"), {"more than 100000 arrays"}},
  };
}

class MalformedSafetensors : public testing::TestWithParam<Malformed> {};

TEST_P(MalformedSafetensors, IsRefusedWithPathAndOffset) {
  const Folder folder;
  const auto path = folder / "bad.safetensors";
  data::write(path, GetParam().bytes);
  std::vector<std::string> parts = GetParam().parts;
  parts.push_back(path.string() + ": byte ");
  expect_bad_file([&] { read_safetensors(path); }, parts);
}

INSTANTIATE_TEST_SUITE_P(Safetensors, MalformedSafetensors, testing::ValuesIn(malformed()),
                         [](const auto& info) { return info.param.name; });

TEST(Safetensors, EveryTruncationIsRefused) {
  const Folder folder;
  const auto path = folder / "model.safetensors";
  write_safetensors(path, {{.name = "x", .dtype = "F32", .shape = {2}, .bytes = Bytes(8, 1)}},
                    {{"format", "pt"}});
  const Bytes whole = data::read(path);
  for (std::size_t size = 0; size < whole.size(); ++size) {
    data::write(path, Bytes(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(size)));
    expect_bad_file([&] { read_safetensors(path); }, {path.string()});
  }
}

TEST(Safetensors, AFolderOrNothingIsRefused) {
  const Folder folder;
  expect_bad_file([&] { read_safetensors(folder / "absent"); }, {"cannot be opened"});
  expect_bad_file([&] { read_safetensors(folder.path()); }, {"is not a file"});
}

}  // namespace
}  // namespace cucina::nn
