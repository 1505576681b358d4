// What checks look at, as files for people: the picture just before the net, and predictions over
// time.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "recipe/check/task.h"

namespace cucina::checks {

// Writes into `folder`, which is made, and returns the names of the files; each appears whole or
// not at all, in place of one of an earlier call:
//   before_the_net.npy        what the first layer reads in the first step, f32, bit for bit
//   before_the_net.json       its SHA-256, shape and reader; least, mean and most of each channel,
//                             in both splits; the tiles of the pictures; the known images' PSNR
//   before_the_net.png        examples as delivered, turned back into pixels, with their class:
//                             four rows of the training, two of the validation
//   golden.png                known images as they are, and below as they are delivered
//   prediction_dynamics.csv   probabilities of fixed examples after each update
//   prediction_dynamics.png   an example per row, an update per column: the colour is the likeliest
//                             class's, as bright as it is likely; the broad first column has the
//                             label's
// Pictures need inputs (n, h, w, c) and a build with libpng, the last two classes and a step. The
// task is left as it was.
//   throws   Error, exit code 1, naming the file: it cannot be written
std::vector<std::string> write_pictures(const Task& task, const std::filesystem::path& folder);

}  // namespace cucina::checks
