// Reads and writes groups of parameters.
#include "recipe/cli/group_option.h"

#include <algorithm>
#include <charconv>
#include <cmath>

#include "core/error.h"

namespace cucina::cli {
namespace {

double number(const std::string& group, const std::string& text) {
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || !std::isfinite(value) ||
      value < 0)
    fail("--group {}: '{}' is no number from 0 on", group, text);
  return value;
}

}  // namespace

skeleton::ParameterGroup parse_group(const std::string& text) {
  const std::size_t colon = text.rfind(':');
  if (colon == std::string::npos || colon == 0)
    fail("--group {}: give NAME:lr=R,decay=D, such as '*.bias:lr=2,decay=0'", text);
  skeleton::ParameterGroup group{.name = text.substr(0, colon)};
  for (std::size_t begin = colon + 1; begin <= text.size();) {
    const std::size_t end = std::min(text.find(',', begin), text.size());
    const std::string part = text.substr(begin, end - begin);
    const std::size_t equals = std::min(part.find('='), part.size());
    const std::string key = part.substr(0, equals);
    const std::string value = part.substr(std::min(equals + 1, part.size()));
    if (key == "lr") {
      group.lr_ratio = number(text, value);
    } else if (key == "decay") {
      group.weight_decay = number(text, value);
    } else {
      fail("--group {}: '{}' is unknown; give lr=R (times --lr), decay=D, or both", text, part);
    }
    begin = end + 1;
  }
  return group;
}

std::string to_text(const std::vector<skeleton::ParameterGroup>& groups) {
  std::string text;
  for (const skeleton::ParameterGroup& group : groups) {
    text += fmt::format("{}{}:lr={}", text.empty() ? "" : " ", group.name, group.lr_ratio);
    if (group.weight_decay) text += fmt::format(",decay={}", *group.weight_decay);
  }
  return text;
}

void add_groups(CLI::App& app, std::vector<skeleton::ParameterGroup>* groups) {
  app.add_option_function<std::vector<std::string>>(
         "--group",
         [groups](const std::vector<std::string>& texts) {
           for (const std::string& text : texts) groups->push_back(parse_group(text));
         },
         "Parameters of this name (conv1.weight), below it (layer1) or of this pattern ('*.bias'): "
         "their learning rate times --lr, and their weight decay; as often as wanted, the first "
         "that "
         "fits counts")
      ->type_name("NAME:lr=R,decay=D")
      ->expected(1)
      ->take_all();
}

}  // namespace cucina::cli
