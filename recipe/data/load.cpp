// Decides which reader a data set needs and cuts its splits to the limits.
#include "recipe/data/load.h"

#include <filesystem>
#include <numeric>
#include <system_error>
#include <utility>
#include <vector>

#include "core/error.h"
#include "recipe/data/cifar.h"
#include "recipe/data/digits.h"
#include "recipe/data/idx.h"
#include "recipe/data/image_files.h"
#include "recipe/data/npy.h"

namespace cucina::data {
namespace {

void keep_first(ImageSet* set, std::int64_t most) {
  if (most < 0)
    fail("data: a split limited to {} images; give 0 for all or a positive number", most);
  if (most == 0 || most >= set->n) return;
  std::vector<std::int64_t> indices(static_cast<std::size_t>(most));
  std::iota(indices.begin(), indices.end(), 0);
  *set = select(*set, indices);
}

struct Format {
  const char* what;
  bool (*is_in)(const std::filesystem::path& folder);
  Dataset (*read)(const std::filesystem::path& folder, const Limits& limits);
  const char* inside = nullptr;  // the folder's usual name, looked for in what is given
};

constexpr Format kFormats[] = {
    {"idx files", &has_idx, &load_idx},
    {"CIFAR-10 batches", &has_cifar, &load_cifar, "cifar-10-batches-bin"},
    {"CIFAR-100 files", &has_cifar100, &load_cifar100, "cifar-100-binary"},
    {".npy files", &has_npy, &load_npy},
    {"folders of images", &has_image_folders, &load_image_folders},
};

Dataset load_folder(const std::filesystem::path& folder, const Limits& limits) {
  std::vector<std::pair<const Format*, std::filesystem::path>> found;
  for (const Format& each : kFormats) {
    if (each.is_in(folder)) {
      found.emplace_back(&each, folder);
    } else if (each.inside != nullptr && each.is_in(folder / each.inside)) {
      found.emplace_back(&each, folder / each.inside);
    }
  }
  if (found.size() > 1)
    fail(ExitCode::bad_file, "{}: holds {} and {}; give a folder with one of them", folder.string(),
         found[0].first->what, found[1].first->what);
  if (found.size() == 1) return found[0].first->read(found[0].second, limits);
  fail(ExitCode::bad_file,
       "{}: no known data set; looked for train-images-idx3-ubyte, train-labels-idx1-ubyte, "
       "t10k-images-idx3-ubyte and t10k-labels-idx1-ubyte (plain or .gz); for data_batch_1.bin to "
       "data_batch_5.bin and test_batch.bin, here or in cifar-10-batches-bin; for train.bin and "
       "test.bin, here or in cifar-100-binary; for train_images.npy or x_train.npy; and for "
       "train/CLASS/*.png or *.jpg",
       folder.string());
}

}  // namespace

Dataset load(const std::string& what, const Limits& limits) {
  std::error_code ignored;
  Dataset set;
  if (what == "digits") {
    set = load_digits(limits.split_seed);
  } else if (std::filesystem::is_directory(what, ignored)) {
    set = load_folder(what, limits);
  } else if (std::filesystem::exists(what, ignored)) {
    if (!what.ends_with(".csv"))
      fail(ExitCode::bad_file,
           "{}: is a file; give the folder that holds all files of the data set, or a .csv of path "
           "and label",
           what);
    set = load_image_csv(what, limits);
  } else {
    fail(ExitCode::bad_file,
         "{}: no such folder; give `digits`, a folder of idx files (MNIST, Fashion-MNIST), "
         "cifar-10-batches-bin, cifar-100-binary, .npy files or folders of images, or a .csv",
         what);
  }
  keep_first(&set.train, limits.train);
  keep_first(&set.validation, limits.validation);
  keep_first(&set.test, limits.test);
  return set;
}

}  // namespace cucina::data
