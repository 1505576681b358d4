// Turns inputs back into pixels, and probabilities into colours.
#include "recipe/check/pictures.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "core/error.h"
#include "core/whole_file.h"
#include "recipe/check/dynamics.h"
#include "recipe/check/first_layer.h"
#include "recipe/report/contact_sheet.h"

namespace cucina::checks {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::size_t kColumns = 12;
constexpr std::int64_t kTrainRows = 4, kValidationRows = 2;
constexpr std::int64_t kFollowed = 64, kUpdates = 50;  // of prediction dynamics
constexpr std::int64_t kCell = 8;                      // pixels of its strip

class Folder {
 public:
  explicit Folder(const std::filesystem::path& path) : path_(path) {
    std::error_code error;
    std::filesystem::create_directories(path, error);
    if (!std::filesystem::is_directory(path))
      fail(ExitCode::run_failed, "{}: cannot be made ({}); choose another folder", path.string(),
           error ? error.message() : "it is not a folder");
  }

  void write(const std::string& name, const void* data, std::size_t bytes) {
    const std::filesystem::path path = path_ / name;
    WholeFile file(path, [&](const std::string& cause) {
      fail(ExitCode::run_failed,
           "{}: cannot be written ({}); free some space or choose another "
           "folder",
           path.string(), cause);
    });
    file.write(data, bytes);
    file.finish();
    names_.push_back(name);
  }
  void write(const std::string& name, const std::string& text) {
    write(name, text.data(), text.size());
  }
  void write(const std::string& name, const data::Picture& picture) {
    if (!data::picture_files_available()) return;
    const std::vector<std::uint8_t> bytes = data::encode_png(picture);
    write(name, bytes.data(), bytes.size());
  }
  const std::vector<std::string>& names() const { return names_; }

 private:
  std::filesystem::path path_;
  std::vector<std::string> names_;
};

// NumPy's format 1.0 (NEP 1): a header padded so that the numbers begin at a multiple of 64.
std::string to_npy(const Tensor& tensor) {
  const auto sizes = tensor.shape().sizes();
  std::string header = fmt::format("{{'descr': '<f4', 'fortran_order': False, 'shape': ({},), }}",
                                   fmt::join(sizes, ", "));
  header.resize((10 + header.size() + 1 + 63) / 64 * 64 - 11, ' ');
  header += '\n';
  std::string text("\x93NUMPY\x01\x00", 8);
  text += static_cast<char>(header.size() & 0xff);
  text += static_cast<char>(header.size() >> 8);
  text += header;
  const Tensor host = tensor.to(Device::cpu);
  text.append(static_cast<const char*>(host.raw()), host.bytes());
  return text;
}

// Inputs as pixels; where their mean is unknown the least becomes black and the most white.
class Pixels {
 public:
  Pixels(const Task& task, const Shape& inputs)
      : task_(task), size_{inputs[1], inputs[2], inputs[3]} {}

  data::Picture operator()(std::span<const float> x) const {
    const auto channels = static_cast<std::size_t>(size_.c);
    const bool known = task_.mean.size() == channels || task_.mean.size() == 1;
    const auto [least, most] = std::minmax_element(x.begin(), x.end());
    data::Picture picture{.size = {size_.h, size_.w, size_.c == 3 ? 3 : 1}, .pixels = {}};
    for (std::size_t i = 0; i < x.size(); ++i) {
      if (channels != 3 && i % channels != 0) continue;  // the first of unusual channels
      const std::size_t c = i % channels % std::max<std::size_t>(task_.mean.size(), 1);
      const double range = std::max(1e-12, double(*most) - *least);
      const double value = known ? (x[i] * task_.stddev[c] + task_.mean[c]) / task_.max_value
                                 : (x[i] - *least) / range;
      picture.pixels.push_back(
          static_cast<std::uint8_t>(std::lround(std::clamp(value, 0.0, 1.0) * 255)));
    }
    return picture;
  }
  data::Picture of_bytes(const std::vector<std::uint8_t>& bytes) const {
    data::Picture picture{.size = size_, .pixels = bytes};
    for (std::uint8_t& each : picture.pixels)
      each = static_cast<std::uint8_t>(std::min(255.0, each * 255 / task_.max_value));
    return picture;
  }
  // Can a picture of the data set's own pixels be drawn?
  bool draws_bytes() const { return size_.c == 1 || size_.c == 3; }

 private:
  const Task& task_;
  data::PictureSize size_;
};

std::string class_name(const Task& task, std::int32_t label) {
  const auto at = static_cast<std::size_t>(label);
  return at < task.class_names.size() ? task.class_names[at] : std::to_string(label);
}

// Least, mean and most of each channel.
Json statistics(const Rows& rows, std::int64_t channels) {
  Json all = Json::array();
  for (std::int64_t c = 0; c < channels; ++c) {
    std::vector<double> values;
    for (std::size_t i = c; i < rows.x.size(); i += channels) values.push_back(rows.x[i]);
    const auto [least, most] = std::minmax_element(values.begin(), values.end());
    all.push_back({{"min", *least}, {"mean", moments(values).mean}, {"max", *most}});
  }
  return all;
}

// The picture's rows of a split, and what JSON says of it.
Json show_split(const Task& task, const Rows& rows, const Shape& inputs, std::int64_t shown,
                std::vector<std::vector<report::Tile>>* sheet) {
  Json tiles = Json::array();
  std::vector<report::Tile> pictures;
  for (std::int64_t i = 0; i < std::min(shown, rows.n); ++i) {
    Json tile;
    if (!rows.indices.empty()) tile["index"] = rows.indices[i];
    std::string caption;
    if (!rows.labels.empty()) {
      caption = class_name(task, rows.labels[i]);
      tile["label"] = rows.labels[i];
      tile["class"] = caption;
    } else {
      const std::size_t each = rows.y.size() / static_cast<std::size_t>(rows.n);
      caption = fmt::format("{:.4g}", rows.y[i * each]);
      tile["target"] = rows.y[i * each];
    }
    tiles.push_back(tile);
    if (inputs.rank() == 4) pictures.push_back({Pixels(task, inputs)(rows.row(i)), caption});
  }
  for (const auto& row : report::in_rows(pictures, kColumns)) sheet->push_back(row);
  const std::int64_t channels = inputs[inputs.rank() - 1];
  return {{"channels", statistics(rows, channels)}, {"tiles", tiles}};
}

void show_inputs(const Task& task, Folder* folder) {
  const Batch first = batches(task.train, 1).front();
  const Shape inputs = first.inputs.shape();
  Json json{{"task", task.name}};
  Tensor dumped = first.inputs;
  if (task.step) {
    const FirstRead read = read_by_a_layer(task, first);
    json["read_by"] = read.op.empty() ? Json(nullptr) : Json(read.op);
    if (!read.op.empty()) dumped = read.tensor;
  }
  json["sha256"] = hash_of(dumped);
  json["shape"] =
      std::vector<std::int64_t>(dumped.shape().sizes().begin(), dumped.shape().sizes().end());
  folder->write("before_the_net.npy", to_npy(dumped));
  std::vector<std::vector<report::Tile>> sheet;
  const auto columns = static_cast<std::int64_t>(kColumns);
  json["train"] = show_split(task, rows_of(task.train, 512), inputs, kTrainRows * columns, &sheet);
  if (task.validation)
    json["validation"] =
        show_split(task, rows_of(task.validation, 256), inputs, kValidationRows * columns, &sheet);
  std::vector<report::Tile> raw, delivered;
  json["golden"] = Json::array();
  for (const GoldenSeen& each : find_golden(task)) {
    json["golden"].push_back({{"index", each.golden->index},
                              {"label", each.golden->label},
                              {"psnr", each.decibels},
                              {"label_is_right", each.label_is_right}});
    if (inputs.rank() != 4 || !Pixels(task, inputs).draws_bytes()) continue;
    const Pixels pixels(task, inputs);
    raw.push_back({pixels.of_bytes(each.golden->pixels), class_name(task, each.golden->label)});
    delivered.push_back({pixels(each.inputs), fmt::format("{:.0f}DB", each.decibels)});
  }
  folder->write("before_the_net.json", json.dump(1) + "\n");
  if (!sheet.empty()) folder->write("before_the_net.png", report::contact_sheet(sheet));
  if (!raw.empty()) folder->write("golden.png", report::contact_sheet({raw, delivered}));
}

// A colour of its own for each class, as bright as `value`.
void paint(data::Picture* picture, std::int64_t y, std::int64_t x, std::int64_t w,
           std::int64_t label, std::int64_t classes, double value) {
  const double hue = 6.0 * static_cast<double>(label) / static_cast<double>(classes);
  for (std::int64_t c = 0; c < 3; ++c) {
    const double part = std::clamp(
        std::abs(std::fmod(hue + 4 * double(c == 1) + 2 * double(c == 2), 6.0) - 3) - 1, 0.0, 1.0);
    for (std::int64_t row = y; row < y + kCell; ++row) {
      for (std::int64_t column = x; column < x + w; ++column)
        picture->pixels[static_cast<std::size_t>((row * picture->size.w + column) * 3 + c)] =
            static_cast<std::uint8_t>(255 * value * (0.15 + 0.85 * part));
    }
  }
}

data::Picture strip(const Dynamics& dynamics, const std::vector<std::int32_t>& labels) {
  const auto times = static_cast<std::int64_t>(dynamics.probabilities.size());
  data::Picture picture{.size = {dynamics.n * kCell, (times + 3) * kCell, 3}, .pixels = {}};
  picture.pixels.resize(static_cast<std::size_t>(picture.size.h * picture.size.w * 3));
  for (std::int64_t i = 0; i < dynamics.n; ++i) {
    if (!labels.empty())
      paint(&picture, i * kCell, 0, 2 * kCell, labels[static_cast<std::size_t>(i)],
            dynamics.classes, 1);
    for (std::int64_t t = 0; t < times; ++t) {
      const auto row =
          dynamics.probabilities[static_cast<std::size_t>(t)].begin() + i * dynamics.classes;
      const auto likeliest = std::max_element(row, row + dynamics.classes);
      paint(&picture, i * kCell, (t + 3) * kCell, kCell, likeliest - row, dynamics.classes,
            *likeliest);
    }
  }
  return picture;
}

void show_dynamics(const Task& task, Folder* folder) {
  const Batch fixed = take(task.validation ? task.validation : task.train, kFollowed);
  const Dynamics dynamics = record_dynamics(task, fixed.inputs, kUpdates);
  folder->write("prediction_dynamics.csv", to_csv(dynamics));
  folder->write("prediction_dynamics.png",
                strip(dynamics, has_labels(fixed) ? fixed.targets.to_vector<std::int32_t>()
                                                  : std::vector<std::int32_t>()));
}

}  // namespace

std::vector<std::string> write_pictures(const Task& task, const std::filesystem::path& path) {
  Folder folder(path);
  const Snapshot before(task);
  show_inputs(task, &folder);
  before.restore();
  if (task.step && task.classes > 1) show_dynamics(task, &folder);
  before.restore();
  return folder.names();
}

}  // namespace cucina::checks
