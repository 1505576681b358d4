// Parses a size of images; shows the decoding.
#include "recipe/cli/data_option.h"

#include <fmt/core.h>

#include <charconv>

#include "core/error.h"
#include "recipe/data/load.h"
#include "recipe/report/count_progress.h"

namespace cucina::cli {
namespace {

constexpr std::int64_t kMostSide = 8192;

// "32" or "24x32", height first.
void parse_size(const std::string& text, data::Limits* limits) {
  const std::size_t x = text.find('x');
  const auto side = [&](std::string_view part) {
    std::int64_t value = 0;
    const auto [end, error] = std::from_chars(part.data(), part.data() + part.size(), value);
    if (error != std::errc{} || end != part.data() + part.size() || value < 1 || value > kMostSide)
      fail("--image-size {}: give a side in pixels, or HxW; 1 to {} each", text, kMostSide);
    return value;
  };
  limits->h = side(std::string_view(text).substr(0, x));
  limits->w = x == std::string::npos ? limits->h : side(std::string_view(text).substr(x + 1));
}

}  // namespace

void add_data(CLI::App& app, DataOptions* options) {
  app.add_option(
         "--data", options->path,
         "digits; a folder of idx files (MNIST, Fashion-MNIST), of cifar-10-batches-bin, of "
         "cifar-100-binary, of .npy files or of train/CLASS/*.png and .jpg; or a .csv of "
         "path,label: docs/data.md")
      ->type_name("digits|DIR|CSV");
  app.add_option_function<std::string>(
         "--image-size",
         [options](const std::string& text) {
           parse_size(text, &options->limits);
           options->size_given = true;
         },
         "Image files become this large; without it, as large as most of them are")
      ->type_name("SIDE|HxW");
}

data::Dataset load_data(const DataOptions& options, bool quiet) {
  data::Limits limits = options.limits;
  report::CountProgress progress("decoding images", quiet);
  limits.progress = [&](std::int64_t done, std::int64_t all) { progress.show(done, all); };
  data::Dataset set = data::load(options.path, limits);
  if (options.size_given && (set.train.h != limits.h || set.train.w != limits.w))
    fail("--image-size {}x{}: the images of {} are no files and stay {}x{}; leave it out", limits.h,
         limits.w, options.path, set.train.h, set.train.w);
  return set;
}

}  // namespace cucina::cli
