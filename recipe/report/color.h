// Whether to colour a stream, decided as terminals' users expect (no-color.org,
// bixense.com/clicolors).
#pragma once

#include <functional>
#include <string>
#include <string_view>

namespace cucina::report {

enum class ColorMode { automatic, always, never };

// "auto", "always" or "never"; anything else throws Error, exit code 2.
ColorMode parse_color_mode(std::string_view text);

// The value of an environment variable, or nullptr; std::getenv outside tests.
using Environment = std::function<const char*(const char*)>;
Environment process_environment();

// True when escape sequences may be written to a stream that is or is not a terminal. For
// `automatic`: a non-empty NO_COLOR forbids; else CLICOLOR_FORCE or FORCE_COLOR (not empty, not
// "0") force; else a terminal whose TERM is not "dumb".
bool use_color(ColorMode mode, bool is_terminal,
               const Environment& environment = process_environment());

enum class Style { bold, dim, red, green, yellow, cyan };

// `text` in `style`, or `text` itself when `color` is false.
std::string paint(std::string_view text, Style style, bool color);

}  // namespace cucina::report
