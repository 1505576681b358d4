// Many image files at once: sizes first, then pixels, in parallel.
#pragma once

#include <array>
#include <filesystem>
#include <string>
#include <vector>

#include "recipe/data/image_set.h"
#include "recipe/data/limits.h"

namespace cucina::data {

struct LabelledFile {
  std::filesystem::path path;
  std::string name;        // for people: relative to the data set
  std::string label;       // of a class
  std::string where = {};  // put before errors: "list.csv: line 7"; empty: nothing
};

struct FileSplits {
  std::vector<LabelledFile> train;
  std::vector<LabelledFile> validation;
  std::vector<LabelledFile> test;
};

// Decodes all of them to one size and makes a data set: see load_image_folders() for classes,
// sizes, what is held out and what is thrown. The result does not depend on the number of threads.
Dataset decode_files(const std::string& name, const FileSplits& files, const Limits& limits);

}  // namespace cucina::data
