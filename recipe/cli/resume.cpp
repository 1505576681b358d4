// Finds a run's newest checkpoint and judges whether it may go on with today's settings.
#include "recipe/cli/resume.h"

#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <string>
#include <string_view>

#include "core/error.h"

namespace cucina::cli {
namespace {

// May differ without a word: the data are told apart by their sum.
constexpr std::array<std::string_view, 2> kFree{"data.path", "train.epochs"};
// May differ, but then the bits may too.
constexpr std::array<std::string_view, 3> kBits{"backend", "cucina", "device"};

template <std::size_t n>
bool is_in(const std::array<std::string_view, n>& names, std::string_view name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

std::string value_in(const skeleton::Settings& settings, const std::string& name) {
  const auto found = settings.find(name);
  return found == settings.end() ? "absent" : found->second;
}

void compare(const std::string& name, const skeleton::Settings& then, const skeleton::Settings& now,
             const std::string& path) {
  const std::string before = value_in(then, name), after = value_in(now, name);
  if (before == after || is_in(kFree, name)) return;
  if (is_in(kBits, name)) {
    fmt::print(stderr,
               "cucina: {} was {} when {} was written and is {} now; the run goes on, but its bits "
               "may differ from those of an unbroken one\n",
               name, before, path, after);
    return;
  }
  fail(
      "--resume: {} is {} in {} but {} now; give the settings of the run, of which only --epochs "
      "may differ, or train afresh with --overwrite",
      name, before, path, after);
}

}  // namespace

std::optional<skeleton::Checkpoint> checkpoint_of(const std::filesystem::path& folder,
                                                  const skeleton::Settings& settings) {
  const report::RunDirectory directory(folder, report::Existing::keep);
  const auto newest = skeleton::CheckpointFolder(directory.checkpoints(), 1, {}).newest();
  if (!newest) {
    if (std::filesystem::exists(directory.model()))
      fail(
          "--resume: {} holds a finished run without checkpoints; train afresh with --overwrite, "
          "or into another --out",
          folder.string());
    return std::nullopt;
  }
  skeleton::Checkpoint checkpoint = skeleton::Checkpoint::read(*newest);
  for (const auto& [name, value] : checkpoint.settings)
    compare(name, checkpoint.settings, settings, newest->string());
  for (const auto& [name, value] : settings) {
    if (checkpoint.settings.count(name) == 0)
      compare(name, checkpoint.settings, settings, newest->string());
  }
  return checkpoint;
}

}  // namespace cucina::cli
