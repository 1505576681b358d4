// The --data option, shared by whatever reads a data set, and what goes with it.
#pragma once

#include <CLI/App.hpp>
#include <string>

#include "recipe/data/image_set.h"
#include "recipe/data/limits.h"

namespace cucina::cli {

struct DataOptions {
  std::string path;
  data::Limits limits;
  bool size_given = false;
};

// --data and --image-size.
void add_data(CLI::App& app, DataOptions* options);

// Reads it; while image files are decoded, stderr says how far that is, unless `quiet`.
//   throws   Error, exit code 3, as data::load(); exit code 2 where --image-size is given and the
//            images are no files
data::Dataset load_data(const DataOptions& options, bool quiet = false);

}  // namespace cucina::cli
