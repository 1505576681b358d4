// Decodes in OpenMP's threads; what goes wrong is kept by file and told in their order.
#include "recipe/data/decode_files.h"

#include <fmt/format.h>
#include <omp.h>

#include <algorithm>
#include <atomic>
#include <charconv>
#include <exception>
#include <functional>
#include <map>
#include <utility>

#include "core/error.h"
#include "recipe/data/byte_reader.h"
#include "recipe/data/picture.h"
#include "recipe/data/sha256.h"
#include "recipe/data/split.h"

namespace cucina::data {
namespace {

constexpr std::uint64_t kFileBytes = std::uint64_t{1} << 28;  // of one image file

using Files = std::vector<LabelledFile>;

std::vector<std::uint8_t> bytes_of(const std::filesystem::path& path) {
  ByteReader reader(path);
  std::vector<std::uint8_t> bytes;
  reader.append(&bytes, kFileBytes);
  reader.expect_end(fmt::format("the {} bytes allowed", kFileBytes));
  return bytes;
}

// What became of each file: "" where all is well.
using Problems = std::vector<std::string>;

// Runs `work` for each file, in parallel. `done` files of `all` lie behind.
void for_each_file(const Files& files, Problems* problems, const Limits& limits, std::int64_t done,
                   std::int64_t all, const std::function<void(std::size_t)>& work) {
  std::exception_ptr fatal;
  std::atomic<std::int64_t> finished = done;
#pragma omp parallel for schedule(dynamic, 8)
  for (std::size_t i = 0; i < files.size(); ++i) {
    if (!(*problems)[i].empty()) continue;
    try {
      work(i);
    } catch (const Error& error) {
      if (error.code() == ExitCode::bad_file) {
        const std::string& where = files[i].where;
        (*problems)[i] = where.empty() ? error.what() : where + ": " + error.what();
      } else {
#pragma omp critical
        fatal = std::current_exception();
      }
    } catch (...) {
#pragma omp critical
      fatal = std::current_exception();
    }
    ++finished;
    if (limits.progress && omp_get_thread_num() == 0) limits.progress(finished, all);
  }
  if (fatal) std::rethrow_exception(fatal);
}

// Every problem is an error, or an entry of limits.unreadable.
void settle(const Files& files, const Problems& problems, const Limits& limits) {
  for (std::size_t i = 0; i < files.size(); ++i) {
    if (problems[i].empty()) continue;
    if (limits.unreadable == nullptr) throw Error(problems[i], ExitCode::bad_file);
    limits.unreadable->push_back({files[i].name, problems[i]});
  }
}

struct Sizes {
  std::vector<PictureSize> all;
  Problems problems;
};

// The size that most of them have, the smaller among equals; limits' where they say one.
PictureSize common_size(const std::vector<Sizes>& splits, const Limits& limits) {
  std::map<std::pair<std::int64_t, std::int64_t>, std::int64_t> counts;
  std::int64_t c = 1;
  for (const Sizes& split : splits)
    for (const PictureSize& each : split.all) {
      if (each.c == 0) continue;
      ++counts[{each.h, each.w}];
      c = std::max(c, each.c);
    }
  if (counts.empty()) return {};
  const auto most =
      std::max_element(counts.begin(), counts.end(),
                       [](const auto& a, const auto& b) { return a.second < b.second; });
  return {.h = limits.h > 0 ? limits.h : most->first.first,
          .w = limits.w > 0 ? limits.w : most->first.second,
          .c = limits.c > 0 ? limits.c : c};
}

bool is_number(const std::string& text, std::int64_t* value) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), *value);
  return error == std::errc{} && end == text.data() + text.size() && *value >= 0;
}

std::vector<std::string> classes_of(const Files& train) {
  std::vector<std::string> names;
  for (const LabelledFile& each : train) names.push_back(each.label);
  std::sort(names.begin(), names.end());
  names.erase(std::unique(names.begin(), names.end()), names.end());
  std::int64_t a = 0, b = 0;
  if (std::all_of(names.begin(), names.end(),
                  [&](const auto& name) { return is_number(name, &a); }))
    std::stable_sort(names.begin(), names.end(), [&](const auto& x, const auto& y) {
      return is_number(x, &a) && is_number(y, &b) && a < b;
    });
  return names;
}

std::int32_t class_of(const LabelledFile& file, const std::vector<std::string>& names) {
  const auto at = std::find(names.begin(), names.end(), file.label);
  if (at == names.end())
    fail(ExitCode::bad_file, "{}{}: its class {:?} has no image in train; add some, or remove it",
         file.where.empty() ? "" : file.where + ": ", file.name, file.label);
  return static_cast<std::int32_t>(at - names.begin());
}

ImageSet decode(const Files& files, const std::vector<std::string>& names, Problems problems,
                const PictureSize& size, const Limits& limits, std::int64_t done,
                std::int64_t all) {
  ImageSet set{.n = 0,
               .h = size.h,
               .w = size.w,
               .c = size.c,
               .classes = static_cast<int>(names.size()),
               .pixels = {},
               .labels = {}};
  const std::size_t bytes = set.image_bytes();
  set.pixels.resize(files.size() * bytes);
  for_each_file(files, &problems, limits, done, all, [&](std::size_t i) {
    const Picture picture = resized(
        with_channels(decode_picture(bytes_of(files[i].path), files[i].path.string()), size.c),
        size.h, size.w);
    std::copy(picture.pixels.begin(), picture.pixels.end(), set.pixels.begin() + i * bytes);
  });
  settle(files, problems, limits);
  for (std::size_t i = 0; i < files.size(); ++i) {
    if (!problems[i].empty()) continue;
    const auto at = static_cast<std::size_t>(set.n++);
    if (at != i)
      std::copy_n(set.pixels.begin() + i * bytes, bytes, set.pixels.begin() + at * bytes);
    set.labels.push_back(class_of(files[i], names));
    set.files.push_back(files[i].name);
  }
  set.pixels.resize(static_cast<std::size_t>(set.n) * bytes);
  return set;
}

std::string sha_of(const Dataset& set) {
  Sha256 sha;
  for (const std::string& name : set.class_names) sha.update(name.c_str(), name.size() + 1);
  for (const ImageSet* each : {&set.train, &set.validation, &set.test}) {
    const std::int64_t sizes[] = {each->n, each->h, each->w, each->c};
    sha.update(sizes, sizeof(sizes));
    sha.update(each->labels.data(), each->labels.size() * sizeof(std::int32_t));
    sha.update(each->pixels.data(), each->pixels.size());
  }
  return sha.hex();
}

}  // namespace

Dataset decode_files(const std::string& name, const FileSplits& files, const Limits& limits) {
  const std::vector<std::string> names = classes_of(files.train);
  const std::vector<const Files*> splits{&files.train, &files.validation, &files.test};
  for (const Files* split : splits)
    for (const LabelledFile& each : *split) class_of(each, names);  // before any is decoded
  std::int64_t all = 0, done = 0;
  for (const Files* split : splits) all += 2 * static_cast<std::int64_t>(split->size());

  std::vector<Sizes> sizes;
  for (const Files* split : splits) {
    Sizes& of = sizes.emplace_back();
    of.all.resize(split->size());
    of.problems.resize(split->size());
    for_each_file(*split, &of.problems, limits, done, all, [&](std::size_t i) {
      const LabelledFile& file = (*split)[i];
      of.all[i] = picture_size(bytes_of(file.path), file.path.string());
    });
    done += static_cast<std::int64_t>(split->size());
    if (limits.unreadable == nullptr) settle(*split, of.problems, limits);
  }
  const PictureSize size = common_size(sizes, limits);
  const std::uint64_t images = static_cast<std::uint64_t>(all / 2);
  std::uint64_t bytes = 0;
  if (!multiply(images, static_cast<std::uint64_t>(size.h * size.w * size.c), &bytes) ||
      bytes > limits.file_bytes)
    fail(
        ExitCode::bad_file,
        "{}: {} images of {}x{}x{} are more than the {} bytes allowed; give a smaller --image-size",
        name, images, size.h, size.w, size.c, limits.file_bytes);

  Dataset set;
  set.name = name;
  set.class_names = names;
  ImageSet* const targets[] = {&set.train, &set.validation, &set.test};
  for (std::size_t i = 0; i < splits.size(); ++i) {
    *targets[i] = decode(*splits[i], names, sizes[i].problems, size, limits, done, all);
    done += static_cast<std::int64_t>(splits[i]->size());
  }
  hold_out_missing(&set, !files.validation.empty(), !files.test.empty(), limits.split_seed);
  set.sha256 = sha_of(set);
  return set;
}

}  // namespace cucina::data
