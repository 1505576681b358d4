// --people: two people's labels of the same images, for the human baseline.
#pragma once

#include <CLI/App.hpp>
#include <string>
#include <vector>

#include "recipe/check/task.h"

namespace cucina::cli {

struct PeopleOption {
  std::vector<std::string> files;  // none, or two
  double model_accuracy = 0;
};

// --people A.csv B.csv, rows of "index,label": the image's place in the validation split from 0,
// and a class by number or name; and --model-accuracy.
void add_people(CLI::App& app, PeopleOption* option);

// The labels of the images that both files name, into the task.
//   throws   Error, exit code 3, with file and line: an image or class that there is not, an image
//            named twice, no image in both
void show_people(const PeopleOption& option, checks::Task* task, std::int64_t images);

}  // namespace cucina::cli
