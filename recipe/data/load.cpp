// Decides which reader a data set needs and cuts its splits to the limits.
#include "recipe/data/load.h"

#include <filesystem>
#include <numeric>
#include <system_error>
#include <vector>

#include "core/error.h"
#include "recipe/data/cifar.h"
#include "recipe/data/digits.h"
#include "recipe/data/idx.h"

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

Dataset load_folder(const std::filesystem::path& folder, const Limits& limits) {
  const bool idx = has_idx(folder);
  const auto inner = folder / "cifar-10-batches-bin";
  const auto batches = has_cifar(folder) || !has_cifar(inner) ? folder : inner;
  const bool cifar = has_cifar(batches);
  if (idx && cifar)
    fail(ExitCode::bad_file,
         "{}: holds idx files and CIFAR-10 batches; give a folder with one of them",
         folder.string());
  if (idx) return load_idx(folder, limits);
  if (cifar) return load_cifar(batches, limits);
  fail(ExitCode::bad_file,
       "{}: no known data set; looked for train-images-idx3-ubyte, train-labels-idx1-ubyte, "
       "t10k-images-idx3-ubyte and t10k-labels-idx1-ubyte (plain or .gz), and for data_batch_1.bin "
       "to "
       "data_batch_5.bin and test_batch.bin, here or in cifar-10-batches-bin",
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
    fail(ExitCode::bad_file, "{}: is a file; give the folder that holds all files of the data set",
         what);
  } else {
    fail(ExitCode::bad_file,
         "{}: no such folder; give `digits`, or a folder of idx files (MNIST, Fashion-MNIST) or "
         "cifar-10-batches-bin",
         what);
  }
  keep_first(&set.train, limits.train);
  keep_first(&set.validation, limits.validation);
  keep_first(&set.test, limits.test);
  return set;
}

}  // namespace cucina::data
