// One door to every data set the command line knows.
#pragma once

#include <string>

#include "recipe/data/image_set.h"
#include "recipe/data/limits.h"

namespace cucina::data {

// `what` is "digits"; a folder whose contents decide the format: idx files, CIFAR-10 or CIFAR-100
// in binary (or their usual folder inside), .npy files, or folders of images; or a .csv of path and
// label.
//   throws   Error, exit code 3: nothing known is there, or what is there is malformed
Dataset load(const std::string& what, const Limits& limits = {});

}  // namespace cucina::data
