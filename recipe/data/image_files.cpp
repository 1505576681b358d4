// Lists the files of folders and of CSV files, with their labels.
#include "recipe/data/image_files.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <optional>
#include <string>
#include <system_error>
#include <vector>

#include "core/error.h"
#include "recipe/data/byte_reader.h"
#include "recipe/data/csv.h"
#include "recipe/data/decode_files.h"

namespace cucina::data {
namespace {

namespace fs = std::filesystem;

constexpr std::uint64_t kCsvBytes = std::uint64_t{1} << 30;

bool is_hidden(const fs::path& path) { return path.filename().string().starts_with('.'); }

bool is_image(const fs::path& path) {
  std::string ending = path.extension().string();
  std::transform(ending.begin(), ending.end(), ending.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return !is_hidden(path) && (ending == ".png" || ending == ".jpg" || ending == ".jpeg");
}

// Visible folders in `folder`, by name.
std::vector<fs::path> folders_in(const fs::path& folder) {
  std::vector<fs::path> result;
  for (const auto& each : fs::directory_iterator(folder))
    if (each.is_directory() && !is_hidden(each.path())) result.push_back(each.path());
  std::sort(result.begin(), result.end());
  return result;
}

// FOLDER/CLASS/*.png, each class by name and so its files.
std::vector<LabelledFile> files_of(const fs::path& root, const fs::path& folder) {
  std::vector<LabelledFile> files;
  for (const fs::path& of_class : folders_in(folder)) {
    std::vector<fs::path> paths;
    for (const auto& each : fs::recursive_directory_iterator(of_class))
      if (is_image(each.path()) && each.is_regular_file()) paths.push_back(each.path());
    if (paths.empty())
      fail(ExitCode::bad_file,
           "{}: no PNG or JPEG file is in this class's folder; add some, or remove the folder",
           of_class.string());
    std::sort(paths.begin(), paths.end());
    for (const fs::path& path : paths)
      files.push_back({.path = path,
                       .name = path.lexically_relative(root).string(),
                       .label = of_class.filename().string()});
  }
  if (files.empty())
    fail(ExitCode::bad_file, "{}: holds no folder of a class; expected {}/CLASS/*.png",
         folder.string(), folder.string());
  return files;
}

std::string name_of(const fs::path& folder) {
  return fs::absolute(folder / ".").parent_path().filename().string();
}

enum class Split : std::uint8_t { train, validation, test };

std::optional<Split> split_named(const std::string& word) {
  if (word == "train" || word == "training") return Split::train;
  if (word == "val" || word == "validation" || word == "valid") return Split::validation;
  if (word == "test") return Split::test;
  return std::nullopt;
}

std::vector<LabelledFile>* part(FileSplits* splits, Split split) {
  return split == Split::train  ? &splits->train
         : split == Split::test ? &splits->test
                                : &splits->validation;
}

}  // namespace

bool has_image_folders(const fs::path& folder) {
  std::error_code ignored;
  if (fs::is_directory(folder / "train", ignored)) return true;
  for (const auto& each : fs::directory_iterator(folder, ignored)) {
    if (!each.is_directory(ignored) || is_hidden(each.path())) continue;
    for (const auto& file : fs::directory_iterator(each.path(), ignored))
      if (is_image(file.path())) return true;
  }
  return false;
}

Dataset load_image_folders(const fs::path& folder, const Limits& limits) {
  FileSplits splits;
  try {
    if (!fs::is_directory(folder / "train")) {
      splits.train = files_of(folder, folder);
    } else {
      for (const fs::path& each : folders_in(folder)) {
        const auto split = split_named(each.filename().string());
        if (!split)
          fail(ExitCode::bad_file,
               "{}: beside train there may be val and test alone; move it elsewhere",
               each.string());
        std::vector<LabelledFile>* files = part(&splits, *split);
        if (!files->empty())
          fail(ExitCode::bad_file, "{}: another folder already holds this split; keep one of them",
               each.string());
        *files = files_of(folder, each);
      }
    }
  } catch (const fs::filesystem_error& error) {
    fail(ExitCode::bad_file, "{}: cannot be listed ({}); check its permissions",
         error.path1().string(), error.code().message());
  }
  return decode_files(name_of(folder), splits, limits);
}

Dataset load_image_csv(const fs::path& csv, const Limits& limits) {
  const std::string path = csv.string();
  ByteReader reader(csv);
  std::vector<std::uint8_t> bytes;
  reader.append(&bytes, kCsvBytes);
  reader.expect_end(fmt::format("the {} bytes allowed", kCsvBytes));
  const std::vector<CsvRow> rows =
      parse_csv({reinterpret_cast<const char*>(bytes.data()), bytes.size()}, path);
  const std::vector<std::string> two{"path", "label"}, three{"path", "label", "split"};
  if (rows.empty() || (rows[0].cells != two && rows[0].cells != three))
    fail(ExitCode::bad_file,
         "{}: line 1: the header is due, path,label or path,label,split; write it there", path);
  FileSplits splits;
  for (std::size_t i = 1; i < rows.size(); ++i) {
    const std::vector<std::string>& cells = rows[i].cells;
    const std::string where = fmt::format("{}: line {}", path, rows[i].line);
    if (cells.size() != rows[0].cells.size())
      fail(ExitCode::bad_file, "{}: {} cells but the header has {}; quote cells that hold a comma",
           where, cells.size(), rows[0].cells.size());
    if (cells[0].empty() || cells[1].empty())
      fail(ExitCode::bad_file, "{}: its {} is empty; fill it in, or remove the line", where,
           cells[0].empty() ? "path" : "label");
    const auto split = cells.size() > 2 ? split_named(cells[2]) : Split::train;
    if (!split)
      fail(ExitCode::bad_file, "{}: {:?} is no split; write train, val or test", where, cells[2]);
    const fs::path file = csv.parent_path() / cells[0];
    std::error_code ignored;
    if (!fs::exists(file, ignored) && limits.unreadable == nullptr)
      fail(ExitCode::bad_file, "{}: {}: no such file; paths are relative to the folder of the CSV",
           where, file.string());
    part(&splits, *split)
        ->push_back({.path = file, .name = cells[0], .label = cells[1], .where = where});
  }
  if (splits.train.empty())
    fail(ExitCode::bad_file, "{}: lists no image for training; add lines", path);
  return decode_files(csv.stem().string(), splits, limits);
}

}  // namespace cucina::data
