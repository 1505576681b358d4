// Colour decisions and the escape sequences of a few styles.
#include "recipe/report/color.h"

#include <cstdlib>

#include "core/error.h"

namespace cucina::report {
namespace {

bool non_empty(const char* value) { return value != nullptr && *value != '\0'; }
bool forces(const char* value) { return non_empty(value) && std::string_view(value) != "0"; }

int code(Style style) {
  switch (style) {
    case Style::bold:
      return 1;
    case Style::dim:
      return 2;
    case Style::red:
      return 31;
    case Style::green:
      return 32;
    case Style::yellow:
      return 33;
    case Style::cyan:
      return 36;
  }
  return 0;
}

}  // namespace

ColorMode parse_color_mode(std::string_view text) {
  if (text == "auto") return ColorMode::automatic;
  if (text == "always") return ColorMode::always;
  if (text == "never") return ColorMode::never;
  fail("--color {}: no such mode; give auto, always or never", text);
}

Environment process_environment() {
  return [](const char* name) -> const char* { return std::getenv(name); };
}

bool use_color(ColorMode mode, bool is_terminal, const Environment& environment) {
  if (mode != ColorMode::automatic) return mode == ColorMode::always;
  if (non_empty(environment("NO_COLOR"))) return false;
  if (forces(environment("CLICOLOR_FORCE")) || forces(environment("FORCE_COLOR"))) return true;
  const char* terminal = environment("TERM");
  return is_terminal && !(terminal != nullptr && std::string_view(terminal) == "dumb");
}

std::string paint(std::string_view text, Style style, bool color) {
  if (!color) return std::string(text);
  return fmt::format("\x1b[{}m{}\x1b[0m", code(style), text);
}

}  // namespace cucina::report
