// The process-wide options and where their defaults come from.
#include "kernels/simt/options.h"

#include <cstdlib>
#include <string>
#include <string_view>

#include "core/error.h"

namespace cucina::simt {
namespace {

Options from_environment() {
  Options options;
  if (const char* text = std::getenv("CUCINA_SIMT_SCHEDULE"); text != nullptr && *text != '\0') {
    const std::string_view name = text;
    if (name == "forward") {
      options.schedule = Schedule::forward;
    } else if (name == "reverse") {
      options.schedule = Schedule::reverse;
    } else if (name == "shuffled") {
      options.schedule = Schedule::shuffled;
    } else {
      fail("CUCINA_SIMT_SCHEDULE is '{}' but must be forward, reverse or shuffled", name);
    }
  }
  if (const char* text = std::getenv("CUCINA_SIMT_SEED"); text != nullptr && *text != '\0') {
    char* end = nullptr;
    options.seed = std::strtoull(text, &end, 10);
    if (*end != '\0') fail("CUCINA_SIMT_SEED is '{}' but must be a whole number", text);
  }
  return options;
}

Options& current() {
  static Options options = from_environment();
  return options;
}

}  // namespace

Options options() { return current(); }

ScopedOptions::ScopedOptions(const Options& options) : before_(current()) { current() = options; }

ScopedOptions::~ScopedOptions() { current() = before_; }

}  // namespace cucina::simt
