// Options that several subcommands share, and values checked as they are read.
#pragma once

#include <CLI/App.hpp>
#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "core/device.h"

namespace cucina::cli {

// Each adds `name VALUE`, whose default is what the variable holds. A wrong value throws Error,
// exit code 2, with the flag, the value and what is allowed.

void add_integer(CLI::App& app, const std::string& name, std::int64_t* value, std::int64_t least,
                 const std::string& help);

// Which numbers are allowed; all are finite.
enum class Numbers : std::uint8_t { positive, not_negative, below_one };
void add_number(CLI::App& app, const std::string& name, double* value, Numbers allowed,
                const std::string& help);

void add_choice(CLI::App& app, const std::string& name, std::string* value,
                const std::vector<std::string>& choices, const std::string& help);

// --device and --backend.
struct ComputeOptions {
  std::string device = "auto";
  std::string backend = "auto";
  bool backend_given = false;

  // The device to use: for "auto" the GPU when there is one. Throws Error, exit code 4, when cuda
  // is asked for and absent.
  Device chosen_device() const;
  // Forces the backend for the whole process; without --backend the environment's CUCINA_BACKEND
  // counts. Returns the name of what is in force.
  std::string force() const;
};
void add_compute(CLI::App& app, ComputeOptions* options);

// The word of `known` nearest to `word` in Levenshtein's distance, or "" when none is near.
std::string nearest(std::string_view word, const std::vector<std::string>& known);
// "; did you mean 'train'?", or "".
std::string suggestion(std::string_view word, const std::vector<std::string>& known);

// One line of JSON; bytes that are no UTF-8, of a file's name say, are replaced.
std::string line_of(const nlohmann::ordered_json& json);
// Writes text to stdout; throws Error, exit code 1, when it does not take it.
void print(std::string_view text);

}  // namespace cucina::cli
