// Reads people's labels.
#include "recipe/cli/people_option.h"

#include <algorithm>
#include <charconv>
#include <map>

#include "core/error.h"
#include "recipe/cli/options.h"
#include "recipe/data/byte_reader.h"
#include "recipe/data/csv.h"

namespace cucina::cli {
namespace {

constexpr std::uint64_t kMostBytes = 64 << 20;

template <typename Integer>
bool is_number(const std::string& text, Integer* value) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), *value);
  return error == std::errc() && end == text.data() + text.size();
}

// Labels by the image's index.
std::map<std::int64_t, std::int32_t> read(const std::string& path, const checks::Task& task,
                                          std::int64_t images) {
  std::vector<std::uint8_t> bytes;
  data::ByteReader reader(path);
  reader.append(&bytes, kMostBytes);
  reader.expect_end(fmt::format("the {} bytes allowed", kMostBytes));
  std::map<std::int64_t, std::int32_t> labels;
  bool first = true;
  for (const data::CsvRow& row :
       data::parse_csv({reinterpret_cast<const char*>(bytes.data()), bytes.size()}, path)) {
    const bool is_header = first && row.cells.front() == "index";
    first = false;
    if (is_header) continue;
    const auto bad = [&](const std::string& what) {
      fail(ExitCode::bad_file, "{}: line {}: {}; give index,label", path, row.line, what);
    };
    std::int64_t index = 0;
    if (row.cells.size() != 2) bad(fmt::format("{} cells", row.cells.size()));
    if (!is_number(row.cells[0], &index) || index < 0 || index >= images)
      bad(fmt::format("'{}' is no image of the validation split, which has {}",
                      row.cells[0].substr(0, 40), images));
    std::int32_t label = 0;
    const auto name = std::find(task.class_names.begin(), task.class_names.end(), row.cells[1]);
    if (name != task.class_names.end())
      label = static_cast<std::int32_t>(name - task.class_names.begin());
    else if (!is_number(row.cells[1], &label) || label < 0 || label >= task.classes)
      bad(fmt::format("'{}' is none of the {} classes", row.cells[1].substr(0, 40), task.classes));
    if (!labels.emplace(index, label).second) bad(fmt::format("image {} is named twice", index));
  }
  return labels;
}

}  // namespace

void add_people(CLI::App& app, PeopleOption* option) {
  app.add_option("--people", option->files,
                 "Two people's labels of validation images, each a CSV of index,label: how well "
                 "they agree is a ceiling for models")
      ->type_name("A.csv B.csv")
      ->expected(2);
  add_number(app, "--model-accuracy", &option->model_accuracy, Numbers::below_one,
             "--people: a model's accuracy to compare with them");
}

void show_people(const PeopleOption& option, checks::Task* task, std::int64_t images) {
  if (option.files.empty()) return;
  const auto first = read(option.files[0], *task, images),
             second = read(option.files[1], *task, images);
  for (const auto& [index, label] : first) {
    const auto other = second.find(index);
    if (other == second.end()) continue;
    task->first_annotation.push_back(label);
    task->second_annotation.push_back(other->second);
  }
  if (task->first_annotation.empty())
    fail(ExitCode::bad_file,
         "{} and {}: name no image that is in both; give two labels of the same", option.files[0],
         option.files[1]);
  task->model_accuracy = option.model_accuracy;
}

}  // namespace cucina::cli
