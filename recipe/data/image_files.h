// Data sets whose images are PNG and JPEG files: folders of classes, and CSV files of path and
// label.
#pragma once

#include <filesystem>
#include <string_view>

#include "recipe/data/image_set.h"
#include "recipe/data/limits.h"

namespace cucina::data {

// True when `folder` has a folder "train", or a folder with PNG or JPEG files in it.
bool has_image_folders(const std::filesystem::path& folder);

// Reads FOLDER/train/CLASS/*.png, and val (or validation, valid) and test beside train; or
// FOLDER/CLASS/*.png, where there is no train. A split that is not there is held out of train, 1/10
// of it, each class in proportion. Classes are train's folders: in order of their numbers where all
// are numbers, else of their names. Files count by their ending (png, jpg, jpeg, in any case), also
// those in folders below; hidden ones do not. Images become as large as most are, or as `limits`
// says. Dataset::sha256 covers class names, labels and pixels of the three splits, as resized.
//   throws   Error, exit code 3: a class without an image, a class that train has not, a file that
//            cannot be decoded; exit code 1: a build without PNG and JPEG
Dataset load_image_folders(const std::filesystem::path& folder, const Limits& limits = {});

// Reads the files that a CSV file lists: a line "path,label" or "path,label,split" and then one per
// image, quoted as in RFC 4180. Paths are relative to the CSV's folder; labels are words; a split
// is train, val, validation or test. Splits that are not named are held out of train as above.
//   throws   Error, exit code 3, with the line: another header, a row of another length, a file
//            that is not there, a label that train has not, no row at all
Dataset load_image_csv(const std::filesystem::path& csv, const Limits& limits = {});

}  // namespace cucina::data
