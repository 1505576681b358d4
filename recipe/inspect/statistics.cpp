// Sums over splits, channels and classes.
#include "recipe/inspect/statistics.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>

namespace cucina::inspect {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::size_t kSamples = 12;
constexpr std::size_t kMostRows = 100;
constexpr std::size_t kMostClasses = 20;  // in the summary

Json channels_of(const data::ImageSet& set) {
  const data::ChannelStats stats = data::channel_stats(set);
  std::vector<std::array<std::uint8_t, 2>> ends(static_cast<std::size_t>(set.c), {255, 0});
  for (std::size_t i = 0; i < set.pixels.size(); ++i) {
    auto& [low, high] = ends[i % ends.size()];
    low = std::min(low, set.pixels[i]), high = std::max(high, set.pixels[i]);
  }
  Json channels = Json::array();
  for (std::size_t k = 0; k < ends.size(); ++k)
    channels.push_back({{"mean", stats.mean[k]},
                        {"deviation", stats.stddev[k]},
                        {"lowest", ends[k][0]},
                        {"highest", ends[k][1]}});
  return channels;
}

struct Sums {
  std::int64_t images = 0;
  double sum = 0, squares = 0;  // of pixels
};

Json classes_of(const Subject& subject, const data::ImageSet& set) {
  std::vector<Sums> all(static_cast<std::size_t>(set.classes));
  for (std::int64_t i = 0; i < set.n; ++i) {
    Sums& of = all[static_cast<std::size_t>(set.labels[static_cast<std::size_t>(i)])];
    ++of.images;
    std::int64_t sum = 0, squares = 0;
    for (const int each : set.image(i)) sum += each, squares += each * each;
    of.sum += double(sum), of.squares += double(squares);
  }
  Json classes = Json::array();
  for (std::size_t k = 0; k < all.size(); ++k) {
    Json json = {{"name", subject.data.class_names[k]},
                 {"images", all[k].images},
                 {"share", double(all[k].images) / double(set.n)}};
    if (all[k].images > 0) {
      const double n = double(all[k].images) * double(set.image_bytes());
      const double mean = all[k].sum / n;
      json["mean"] = mean;
      json["deviation"] = std::sqrt(std::max(0.0, all[k].squares / n - mean * mean));
    }
    classes.push_back(json);
  }
  return classes;
}

}  // namespace

Json statistics(const Subject& subject) {
  const data::Dataset& data = subject.data;
  Json json = {{"name", data.name},       {"sha256", data.sha256}, {"h", data.train.h},
               {"w", data.train.w},       {"c", data.train.c},     {"classes", data.train.classes},
               {"splits", Json::object()}};
  for (const Split split : kSplits) {
    const data::ImageSet& set = subject.set(split);
    if (set.n == 0) continue;
    json["splits"][std::string(name(split))] = {
        {"images", set.n}, {"channels", channels_of(set)}, {"classes", classes_of(subject, set)}};
  }
  return json;
}

std::string summary(const Json& all) {
  std::string text = fmt::format("{}: {}x{}x{} in {} classes\n", all["name"].get<std::string>(),
                                 all["h"].get<int>(), all["w"].get<int>(), all["c"].get<int>(),
                                 all["classes"].get<int>());
  for (const auto& [split, of] : all["splits"].items()) {
    text += fmt::format("  {:<10} {:>7} images; by channel mean ± deviation", split,
                        of["images"].get<std::int64_t>());
    for (const Json& channel : of["channels"])
      text += fmt::format("  {:.2f} ± {:.2f} in {}..{}", channel["mean"].get<double>(),
                          channel["deviation"].get<double>(), channel["lowest"].get<int>(),
                          channel["highest"].get<int>());
    text += "\n";
  }
  const Json& classes = all["splits"]["train"]["classes"];
  for (std::size_t k = 0; k < classes.size() && k < kMostClasses; ++k)
    text +=
        fmt::format("  {:<16} {:>7} in train, {:.2f} %, mean {:.2f} ± {:.2f}\n",
                    classes[k]["name"].get<std::string>(), classes[k]["images"].get<std::int64_t>(),
                    100 * classes[k]["share"].get<double>(), classes[k].value("mean", 0.0),
                    classes[k].value("deviation", 0.0));
  if (classes.size() > kMostClasses)
    text += fmt::format("  and {} classes more (--json has all)\n", classes.size() - kMostClasses);
  return text;
}

Sheet samples(const Subject& subject) {
  Sheet sheet{.name = "samples", .title = "The first images of each class of train", .rows = {}};
  const data::ImageSet& train = subject.data.train;
  sheet.rows.resize(std::min(kMostRows, static_cast<std::size_t>(train.classes)));
  for (std::int64_t i = 0; i < train.n; ++i) {
    const auto label = static_cast<std::size_t>(train.labels[static_cast<std::size_t>(i)]);
    if (label >= sheet.rows.size() || sheet.rows[label].size() >= kSamples) continue;
    sheet.rows[label].push_back({{Split::train, i}, subject.class_name(std::int32_t(label))});
  }
  return sheet;
}

}  // namespace cucina::inspect
