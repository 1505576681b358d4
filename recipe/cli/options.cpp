// Reads and checks the values of flags.
#include "recipe/cli/options.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <nlohmann/json.hpp>
#include <numeric>
#include <optional>

#include "core/cuda_runtime.h"
#include "core/error.h"
#include "kernels/common/backends.h"

namespace cucina::cli {
namespace {

// The whole text as a number; a leading '+' is allowed.
template <typename Number>
std::optional<Number> parse(std::string_view text) {
  if (text.starts_with('+')) text.remove_prefix(1);
  Number value{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

bool is_allowed(double value, Numbers allowed) {
  if (!std::isfinite(value)) return false;
  if (allowed == Numbers::positive) return value > 0;
  if (allowed == Numbers::not_negative) return value >= 0;
  return value >= 0 && value < 1;
}

const char* description(Numbers allowed) {
  if (allowed == Numbers::positive) return "a number above 0, such as 3e-4";
  if (allowed == Numbers::not_negative) return "a number from 0 on, such as 0.01";
  return "a number from 0 to below 1, such as 0.9";
}

}  // namespace

void add_integer(CLI::App& app, const std::string& name, std::int64_t* value, std::int64_t least,
                 const std::string& help) {
  app.add_option_function<std::string>(
         name,
         [name, value, least](const std::string& text) {
           const auto number = parse<std::int64_t>(text);
           if (!number || *number < least)
             fail("{} {}: give a whole number, at least {}", name, text, least);
           *value = *number;
         },
         help)
      ->type_name("N")
      ->default_str(std::to_string(*value));
}

void add_number(CLI::App& app, const std::string& name, double* value, Numbers allowed,
                const std::string& help) {
  app.add_option_function<std::string>(
         name,
         [name, value, allowed](const std::string& text) {
           const auto number = parse<double>(text);
           if (!number || !is_allowed(*number, allowed))
             fail("{} {}: give {}", name, text, description(allowed));
           *value = *number;
         },
         help)
      ->type_name("NUMBER")
      ->default_str(fmt::format("{}", *value));
}

void add_choice(CLI::App& app, const std::string& name, std::string* value,
                const std::vector<std::string>& choices, const std::string& help) {
  app.add_option_function<std::string>(
         name,
         [name, value, choices](const std::string& text) {
           if (std::find(choices.begin(), choices.end(), text) == choices.end())
             fail("{} {}: choose one of {}{}", name, text, fmt::join(choices, ", "),
                  suggestion(text, choices));
           *value = text;
         },
         help)
      ->type_name(fmt::format("{}", fmt::join(choices, "|")))
      ->default_str(*value);
}

Device ComputeOptions::chosen_device() const {
  if (device == "cuda") require_cuda();
  if (device == "cpu") return Device::cpu;
  return cuda_available() ? Device::cuda : Device::cpu;
}

std::string ComputeOptions::force() const {
  if (backend_given) force_backend(parse_backend(backend));
  const auto forced = forced_backend();
  return std::string(forced ? name(*forced) : "auto");
}

void add_compute(CLI::App& app, ComputeOptions* options) {
  add_choice(app, "--device", &options->device, {"auto", "cpu", "cuda"},
             "Where to compute; auto: the GPU when there is one");
  app.add_option_function<std::string>(
         "--backend",
         [options](const std::string& text) {
           const std::vector<std::string> choices{"auto", "hand", "vendor", "reference"};
           if (std::find(choices.begin(), choices.end(), text) == choices.end())
             fail("--backend {}: choose one of {}{}", text, fmt::join(choices, ", "),
                  suggestion(text, choices));
           options->backend = text;
           options->backend_given = true;
         },
         "Who computes: hand is cucina's own kernels, vendor is cuDNN and cuBLASLt or oneDNN; "
         "auto: "
         "vendor where it has the op, else hand. Overrides CUCINA_BACKEND")
      ->type_name("auto|hand|vendor|reference")
      ->default_str("auto");
}

std::string nearest(std::string_view word, const std::vector<std::string>& known) {
  std::string best;
  std::size_t best_distance = std::max<std::size_t>(2, word.size() / 3) + 1;
  for (const std::string& candidate : known) {
    // Row by row of the table of distances between prefixes.
    std::vector<std::size_t> row(candidate.size() + 1);
    std::iota(row.begin(), row.end(), std::size_t{0});
    for (std::size_t i = 1; i <= word.size(); ++i) {
      std::size_t diagonal = row[0];
      row[0] = i;
      for (std::size_t j = 1; j <= candidate.size(); ++j) {
        const std::size_t replaced = diagonal + (word[i - 1] == candidate[j - 1] ? 0 : 1);
        diagonal = row[j];
        row[j] = std::min({replaced, row[j] + 1, row[j - 1] + 1});
      }
    }
    if (row.back() < best_distance) {
      best_distance = row.back();
      best = candidate;
    }
  }
  return best;
}

std::string suggestion(std::string_view word, const std::vector<std::string>& known) {
  const std::string near = nearest(word, known);
  return near.empty() ? "" : fmt::format("; did you mean '{}'?", near);
}

std::string line_of(const nlohmann::ordered_json& json) {
  return json.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + "\n";
}

void print(std::string_view text) {
  const bool written = std::fwrite(text.data(), 1, text.size(), stdout) == text.size();
  if (!written || std::fflush(stdout) != 0)
    fail(ExitCode::run_failed, "stdout: cannot be written ({}); redirect it elsewhere",
         std::strerror(errno));
}

}  // namespace cucina::cli
