// Reads --augment's list, and writes it to config.toml.
#include "recipe/cli/augment_option.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <set>
#include <string_view>

#include "core/error.h"
#include "recipe/cli/options.h"

namespace cucina::cli {
namespace {

struct Strength {
  const char* name;
  float Augmentation::*value;
  float usual;
};
constexpr std::array kStrengths{Strength{"flip", &Augmentation::flip, 0.5f},
                                Strength{"rotate", &Augmentation::rotate, 15},
                                Strength{"scale", &Augmentation::scale, 0.1f},
                                Strength{"brightness", &Augmentation::brightness, 0.2f},
                                Strength{"contrast", &Augmentation::contrast, 0.2f},
                                Strength{"saturation", &Augmentation::saturation, 0.2f}};

struct Alpha {
  const char* name;
  float Mixing::*value;
  float usual;  // the papers' for CIFAR-10 and ImageNet
};
constexpr std::array kAlphas{Alpha{"mixup", &Mixing::mixup, 0.2f},
                             Alpha{"cutmix", &Mixing::cutmix, 1}};

// The whole of `text` as the value of `name`.
template <typename Number>
Number value_of(const std::string& name, const std::string& text, const char* example) {
  Number value{};
  const char* end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, value);
  if (error != std::errc() || stop != end)
    fail("--augment {}={}: give {}, such as {}={}", name, text,
         std::is_integral_v<Number> ? "a whole number" : "a number", name, example);
  return value;
}

void read_item(const std::string& item, std::set<std::string>* seen, AugmentOption* option) {
  std::vector<std::string> names{"crop", "cutout", "border"};
  for (const Strength& strength : kStrengths) names.emplace_back(strength.name);
  for (const Alpha& alpha : kAlphas) names.emplace_back(alpha.name);
  const std::size_t equals = item.find('=');
  const bool has_value = equals != std::string::npos;
  const std::string name = item.substr(0, equals), value = has_value ? item.substr(equals + 1) : "";
  if (std::find(names.begin(), names.end(), name) == names.end())
    fail("--augment '{}': choose from {}{}", name, fmt::join(names, ", "), suggestion(name, names));
  if (!seen->insert(name).second) fail("--augment: {} is named twice", name);
  Augmentation& how = option->how;
  if (name == "border") {
    if (value != "zero" && value != "reflect")
      fail("--augment {}: give border=reflect or border=zero", item);
    how.border = value == "zero" ? Border::zero : Border::reflect;
  } else if (name == "crop") {
    option->usual_crop = !has_value;
    if (has_value) how.crop = value_of<int>(name, value, "4");
  } else if (name == "cutout") {
    option->usual_cutout = !has_value;
    if (has_value) how.cutout = value_of<int>(name, value, "8");
  } else {
    for (const Strength& strength : kStrengths) {
      if (name == strength.name)
        how.*strength.value = has_value ? value_of<float>(name, value, "0.5") : strength.usual;
    }
    for (const Alpha& alpha : kAlphas) {
      if (name == alpha.name)
        option->mixing.*alpha.value = has_value ? value_of<float>(name, value, "0.2") : alpha.usual;
    }
  }
}

void read_list(const std::string& text, AugmentOption* option) {
  *option = {};
  std::set<std::string> seen;
  for (std::size_t begin = 0; begin <= text.size();) {
    const std::size_t end = std::min(text.find(',', begin), text.size());
    read_item(text.substr(begin, end - begin), &seen, option);
    begin = end + 1;
  }
}

// 0.2f as 0.2, not as 0.200000003.
double shortest(float value) {
  const std::string text = fmt::format("{}", value);
  double result = 0;
  std::from_chars(text.data(), text.data() + text.size(), result);
  return result;
}

}  // namespace

Augmentation AugmentOption::for_images(std::int64_t h, std::int64_t w, std::int64_t c) const {
  const auto side = static_cast<int>(std::min(h, w));
  Augmentation result = how;
  if (usual_crop) result.crop = side / 8;
  if (usual_cutout) result.cutout = side / 4;
  check(result, h, w, c);
  check(mixing);
  return result;
}

void add_augment(CLI::App& app, AugmentOption* option) {
  app.add_option_function<std::string>(
         "--augment", [option](const std::string& text) { read_list(text, option); },
         "How training images are changed at random: a list of crop, flip, rotate, scale, "
         "brightness, contrast, saturation, cutout, mixup, cutmix, each as NAME or NAME=STRENGTH, "
         "and "
         "border=reflect or border=zero")
      ->type_name("LIST");
}

report::Section section(const Augmentation& how, const Mixing& mixing) {
  report::Section result{"augment", {}};
  const auto add = [&](const char* name, const report::Setting& value) {
    result.settings.emplace_back(name, value);
  };
  if (how.crop > 0) add("crop", std::int64_t{how.crop});
  for (const Strength& strength : kStrengths) {
    if (how.*strength.value > 0) add(strength.name, shortest(how.*strength.value));
  }
  if (how.cutout > 0) add("cutout", std::int64_t{how.cutout});
  if (how.crop > 0 || how.rotate > 0 || how.scale > 0)
    add("border", std::string(how.border == Border::zero ? "zero" : "reflect"));
  for (const Alpha& alpha : kAlphas) {
    if (mixing.*alpha.value > 0) add(alpha.name, shortest(mixing.*alpha.value));
  }
  return result;
}

}  // namespace cucina::cli
