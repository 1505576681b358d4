// Errors: one sentence for the user, and the exit code the command line ends with.
#pragma once

#include <fmt/format.h>

#include <stdexcept>
#include <string>
#include <utility>

namespace cucina {

// Exit codes of the `cucina` program; an Error carries the one it would cause.
enum class ExitCode : int {
  ok = 0,
  run_failed = 1,
  usage = 2,         // a flag, a setting, or an argument of a library call is wrong
  bad_file = 3,      // a data or model file is missing, truncated or malformed
  no_resources = 4,  // no such device, or out of memory
  diverged = 5,      // NaN or Inf where a number was due
  check_failed = 6,  // a sanity check of the recipe failed
};

// What every failure of cucina throws. The text says what, where, both numbers and what to do.
class Error : public std::runtime_error {
 public:
  explicit Error(const std::string& text, ExitCode code = ExitCode::usage)
      : std::runtime_error(text), code_(code) {}
  ExitCode code() const { return code_; }

 private:
  ExitCode code_;
};

// Throws Error(format(...)) as a misuse of an argument (exit code 2).
template <typename... Args>
[[noreturn]] void fail(fmt::format_string<Args...> format, Args&&... args) {
  throw Error(fmt::format(format, std::forward<Args>(args)...));
}

// Throws Error(format(...)) with the given exit code.
template <typename... Args>
[[noreturn]] void fail(ExitCode code, fmt::format_string<Args...> format, Args&&... args) {
  throw Error(fmt::format(format, std::forward<Args>(args)...), code);
}

}  // namespace cucina
